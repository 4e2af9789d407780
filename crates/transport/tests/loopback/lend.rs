//! A device lends its connection: what its near relay passes on to, and tries to use it for anything else.

use stonechat_wire::exchange::NearRelay;
use stonechat_wire::frame::forward::{ForwardAsk, ForwardTell};
use stonechat_wire::ids::RelayId;

use super::forward::{greeted, open_channel, pass, shut, told};
use super::hops::Gate;
use super::*;

const NONCE: [u8; 8] = [3; 8];

/// A near relay that lends.
async fn lending(limits: Limits) -> House {
    let folder = tempfile::tempdir().unwrap();
    let anywhere = "127.0.0.1:0".parse().unwrap();
    let config = Config {
        limits,
        lan: true,
        near: Some(NONCE),
        ..config(folder.path(), anywhere)
    };
    let relay = Relay::start(config).await.unwrap();
    House { relay, folder }
}

/// As the courier of the device that lends tells it: by number.
fn reached(house: &House) -> RelayRoute {
    RelayRoute {
        address: house.relay.local_addr.to_string(),
        secret: None,
        ..house.relay.route.clone()
    }
}

#[tokio::test]
async fn who_reaches_no_relay_does_so_through_a_contact_who_lends_fwd_12() {
    let far = House::new().await;
    let lender = lending(Limits::lending()).await;
    lender.relay.forward_to(&[reached(&far)]);
    let gate = Gate::before(far.relay.local_addr).await;
    let keys = open(lender.dial()).await.unwrap().face.keys().unwrap().clone();
    let near = NearRelay {
        relay: lender.relay.route.relay,
        secret: lender.relay.route.secret.unwrap(),
        keys,
        place: Some(lender.relay.local_addr.to_string()),
        mine: false,
    };
    let mut ana = Client::without_relay();
    ana.also(&gate.route(&far.relay.route)).await;
    ana.handle.send(Errand::UseNear(near)).await.unwrap();
    ana.greeted_by(&far.relay.route).await;
    let sent = ana.put(1, "by somebody else's line").await;
    ana.until_stored(&[sent]).await;
    // The lender's own relay is gone, or lending is over: that is the end of it at once.
    lender.relay.forward_to(&[]);
    loop {
        if let News::Gone { relay } = ana.news().await {
            assert_eq!(relay, far.relay.route.relay);
            return;
        }
    }
}

#[tokio::test]
async fn it_leads_to_the_relays_that_the_lender_reaches_and_nowhere_else_fwd_12() {
    let (far, other) = (House::new().await, House::new().await);
    let lender = lending(Limits::lending()).await;
    let mut peer = greeted(&lender).await;
    let not_here = |channel| shut(channel, Refusal::NotHere);
    assert_eq!(
        open_channel(&mut peer, 1, &far.relay.route).await,
        not_here(1),
        "nothing is reached"
    );
    lender.relay.forward_to(&[reached(&far)]);
    // Another relay, the near relay itself, what is no relay at all: ids are all that can be named.
    let nobody = RelayRoute {
        relay: RelayId::from_bytes([0; 16]),
        ..far.relay.route.clone()
    };
    for (channel, to) in [(2, &other.relay.route), (3, &lender.relay.route), (4, &nobody)] {
        assert_eq!(open_channel(&mut peer, channel, to).await, not_here(channel));
    }
    // What the address says that comes with the id is not looked at: the lender's own ports stay shut.
    let own_port = RelayRoute {
        address: lender.relay.local_addr.to_string(),
        ..far.relay.route.clone()
    };
    assert_eq!(
        open_channel(&mut peer, 5, &own_port).await,
        ForwardTell::Open { channel: 5 }
    );
    peer.send(pass(5, b"GET / HTTP/1.1\r\n\r\n".to_vec())).await;
    loop {
        match told(&mut peer).await {
            ForwardTell::Pass(passed) => assert!(passed.bytes.starts_with(b"HTTP/1.1 404"), "the far relay's"),
            ForwardTell::Shut { channel: 5, .. } => break,
            ForwardTell::Took { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn lending_ends_at_once_and_channels_with_it_fwd_12() {
    let (far, other) = (House::new().await, House::new().await);
    let lender = lending(Limits::lending()).await;
    lender.relay.forward_to(&[reached(&far), reached(&other)]);
    let mut peer = greeted(&lender).await;
    for (channel, to) in [(1, &far), (2, &other)] {
        assert_eq!(
            open_channel(&mut peer, channel, &to.relay.route).await,
            ForwardTell::Open { channel }
        );
    }
    lender.relay.forward_to(&[reached(&far)]);
    assert_eq!(
        told(&mut peer).await,
        shut(2, Refusal::NotHere),
        "the lender does not reach it any more"
    );
    lender.relay.forward_to(&[]);
    assert_eq!(told(&mut peer).await, shut(1, Refusal::NotHere), "off");
    assert_eq!(
        open_channel(&mut peer, 3, &far.relay.route).await,
        shut(3, Refusal::NotHere)
    );
}

#[tokio::test]
async fn a_stranger_without_the_secret_is_let_in_nowhere_fwd_12() {
    let far = House::new().await;
    let lender = lending(Limits::lending()).await;
    lender.relay.forward_to(&[reached(&far)]);
    let wrong = RelayRoute {
        secret: Some([9; 16]),
        ..lender.relay.route.clone()
    };
    for route in [
        RelayRoute {
            secret: None,
            ..wrong.clone()
        },
        wrong.clone(),
    ] {
        let mut dial = lender.dial();
        dial.truck.path = path_of(&route);
        assert!(open(dial).await.is_err(), "no path but those that the secret gives");
    }
    // Even at the right path, which somebody may have seen on the network, the secret is asked for.
    let mut peer = Peer::open(&lender).await;
    let relay = far.relay.route.relay;
    peer.send(ToRelay::Forward(ForwardAsk::Open { channel: 1, relay }))
        .await;
    assert_eq!(peer.receive().await, None);
    let mut peer = Peer::open(&lender).await;
    let (version, features, secret) = (1, 0, wrong.secret);
    peer.send(ToRelay::Hello {
        version,
        features,
        secret,
    })
    .await;
    let refused = FromRelay::Refused {
        request: 0,
        why: Refusal::Secret,
    };
    assert_eq!((peer.receive().await, peer.receive().await), (Some(refused), None));
}

#[tokio::test]
async fn a_near_relay_that_does_not_lend_passes_nothing_on_fwd_12() {
    let far = House::new().await;
    let near = lending(Limits::near()).await;
    near.relay.forward_to(&[reached(&far)]);
    let mut peer = greeted(&near).await;
    assert_eq!(
        open_channel(&mut peer, 1, &far.relay.route).await,
        shut(1, Refusal::Limit)
    );
}

#[tokio::test]
async fn no_more_is_lent_in_a_day_than_its_quota_fwd_13() {
    let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let route = RelayRoute {
        address: echo.local_addr().unwrap().to_string(),
        relay: RelaySecret::from_seed(&[5; 32]).keys().id(),
        secret: None,
        lan: false,
    };
    tokio::spawn(async move {
        while let Ok((socket, _)) = echo.accept().await {
            let (mut read, mut write) = socket.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut read, &mut write).await });
        }
    });
    let limits = Limits {
        forward_bytes_per_day: 100_000,
        ..Limits::lending()
    };
    let lender = lending(limits).await;
    lender.relay.forward_to(std::slice::from_ref(&route));
    let mut peer = greeted(&lender).await;
    assert_eq!(
        open_channel(&mut peer, 1, &route).await,
        ForwardTell::Open { channel: 1 }
    );
    let mut came = 0;
    let mut under_way = 0;
    let why = loop {
        if under_way == 0 {
            peer.send(pass(1, vec![7; 10_000])).await;
            under_way = 10_000;
        }
        match told(&mut peer).await {
            ForwardTell::Pass(passed) => came += passed.bytes.len(),
            ForwardTell::Shut { channel: 1, why } => break why,
            ForwardTell::Took { bytes, .. } => under_way -= bytes,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(why, Refusal::Quota);
    assert!(came <= 60_000, "both ways together: {came}");
    // Another connection of anybody's has no other quota.
    let mut again = greeted(&lender).await;
    assert_eq!(
        open_channel(&mut again, 1, &route).await,
        ForwardTell::Open { channel: 1 }
    );
    again.send(pass(1, vec![7; 20_000])).await;
    assert_eq!(told(&mut again).await, shut(1, Refusal::Quota));
}

#[tokio::test]
async fn sixteen_channels_and_no_more_are_lent_fwd_13() {
    let far = House::new().await;
    let lender = lending(Limits::lending()).await;
    lender.relay.forward_to(&[reached(&far)]);
    let mut peers = Vec::new();
    for _ in 0..4 {
        let mut peer = greeted(&lender).await;
        for channel in 1..=4 {
            assert_eq!(
                open_channel(&mut peer, channel, &far.relay.route).await,
                ForwardTell::Open { channel }
            );
        }
        peers.push(peer);
    }
    let mut fifth = greeted(&lender).await;
    assert_eq!(
        open_channel(&mut fifth, 1, &far.relay.route).await,
        shut(1, Refusal::Limit)
    );
}
