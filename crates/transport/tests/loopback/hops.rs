//! Two hops, with a courier: a relay whose own ways are closed is reached through one that passes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::tls::Guarded;
use super::*;

/// A place before a relay that lets nobody through until it is opened.
pub(super) struct Gate {
    address: SocketAddr,
    is_open: Arc<AtomicBool>,
    came: Arc<AtomicUsize>,
}

impl Gate {
    pub(super) async fn before(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (is_open, came) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (opened, count) = (Arc::clone(&is_open), Arc::clone(&came));
        tokio::spawn(async move {
            while let Ok((mut inside, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                if !opened.load(Ordering::Relaxed) {
                    continue;
                }
                tokio::spawn(async move {
                    let mut outside = TcpStream::connect(target).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut inside, &mut outside).await;
                });
            }
        });
        Self { address, is_open, came }
    }

    pub(super) fn route(&self, of: &RelayRoute) -> RelayRoute {
        let scheme = if of.address.starts_with("https://") {
            "https://"
        } else {
            ""
        };
        let address = format!("{scheme}{}", self.address);
        RelayRoute { address, ..of.clone() }
    }
}

impl Client {
    /// Uses another relay too: from now on it is the one meant.
    pub(super) async fn also(&mut self, route: &RelayRoute) {
        self.relay = Some(route.clone());
        let errand = Errand::UseRelay(route.clone(), None, NamedBy::Person);
        self.handle.send(errand).await.unwrap();
    }

    pub(super) async fn greeted_by(&mut self, wanted: &RelayRoute) {
        while !matches!(self.news().await, News::Greeting { relay, .. } if relay == wanted.relay) {}
    }
}

/// Both ways, far more than a window each.
async fn talk(ana: &mut Client, bo: &mut Client) {
    carry(ana, bo, 1).await;
    carry(bo, ana, 2).await;
}

async fn carry(from: &mut Client, to: &mut Client, mailbox: u8) {
    to.listen(&[(token(mailbox).tag(), 0)]).await;
    let mut sent = Vec::new();
    for n in 0..30 {
        let text = format!("{mailbox} {n} {}", "x".repeat(20_000));
        sent.push(from.put(mailbox, &text).await);
    }
    from.until_stored(&sent).await;
    assert_eq!(to.until_arrived(&sent).await.len(), 30);
}

#[tokio::test]
async fn a_relay_whose_ways_are_closed_is_reached_through_another_fwd_7() {
    let far = House::new().await;
    let gate = Gate::before(far.relay.local_addr).await;
    let helper = forward::forwarding(&[&far.relay.route], Limits::default()).await;
    let mut ana = Client::new(&helper.relay.route).await;
    ana.also(&gate.route(&far.relay.route)).await;
    ana.greeted_by(&far.relay.route).await;
    let mut bo = Client::new(&far.relay.route).await;
    talk(&mut ana, &mut bo).await;
    let way = ana
        .handle
        .remembered()
        .borrow()
        .address(&far.relay.route.relay)
        .map(str::to_owned);
    assert!(way.unwrap().contains("@via/"));
    assert!(gate.came.load(Ordering::Relaxed) >= 1, "its own way was tried first");
}

/// The same inside TLS: the one in between sees a name and nothing more.
#[tokio::test]
async fn tls_goes_through_whole_fwd_7() {
    let far = Guarded::new().await;
    let route = far.house.relay.route.clone();
    let gate = Gate::before(far.house.relay.local_addr).await;
    let helper = forward::forwarding(&[&route], Limits::default()).await;
    let start = || {
        Client::starting(Transport::start_trusting(
            far.trust.clone(),
            fresh_seed(),
            Remembered::default(),
        ))
    };
    let (mut ana, mut bo) = (start(), start());
    ana.greet(&helper.relay.route).await;
    ana.also(&gate.route(&route)).await;
    ana.greeted_by(&route).await;
    bo.greet(&route).await;
    talk(&mut ana, &mut bo).await;
}

/// Who passes on to somebody else is found out by the keys.
#[tokio::test]
async fn another_relay_behind_the_one_in_between_is_refused_fwd_9() {
    let (far, other) = (House::new().await, House::new().await);
    let wrong = RelayRoute {
        address: other.relay.route.address.clone(),
        ..far.relay.route.clone()
    };
    let helper = forward::forwarding(&[&wrong], Limits::default()).await;
    let gate = Gate::before(far.relay.local_addr).await;
    let mut ana = Client::new(&helper.relay.route).await;
    ana.also(&gate.route(&far.relay.route)).await;
    let greeted = timeout(Duration::from_secs(4), ana.greeted_by(&far.relay.route)).await;
    assert!(greeted.is_err());
    gate.is_open.store(true, Ordering::Relaxed);
    ana.greeted_by(&far.relay.route).await;
}

/// The one in between ends: what is inside goes on, in the same session.
#[tokio::test]
async fn a_session_outlives_the_relay_in_between_fwd_10() {
    let far = House::new().await;
    let gate = Gate::before(far.relay.local_addr).await;
    let helper = forward::forwarding(&[&far.relay.route], Limits::default()).await;
    let mut ana = Client::new(&helper.relay.route).await;
    ana.also(&gate.route(&far.relay.route)).await;
    ana.greeted_by(&far.relay.route).await;
    let mut bo = Client::new(&far.relay.route).await;
    talk(&mut ana, &mut bo).await;
    gate.is_open.store(true, Ordering::Relaxed);
    let ended = helper.relay.route.relay;
    helper.relay.stop().await;
    let sent = ana.put(3, "still the same session").await;
    let mut is_stored = false;
    while !is_stored {
        match ana.news().await {
            News::Stored { ids, .. } => is_stored = ids.contains(&sent),
            News::Gone { relay } => assert_eq!(relay, ended, "the session was lost"),
            _ => {}
        }
    }
}
