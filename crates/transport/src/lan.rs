//! The local network: a relay announces itself there, and a device looks for one whose address it has lost (LAN-1, LAN-3).
//!
//! In: a relay's id and port; or the wish to look around. Out: announcements until dropped; or beacons with addresses.
//! Announced is one more web server among printers: its name is new at each start, and the beacon says which relay it is
//! to those who know that relay only. Multicast DNS and DNS-SD (RFC 6762, RFC 6763) are mdns-sd's.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use mdns_sd::{IfKind, Receiver, ResolvedService, ServiceDaemon, ServiceEvent, ServiceInfo};
use stonechat_wire::beacon::Beacon;
use stonechat_wire::ids::RelayId;
use tokio::time::{Instant, timeout, timeout_at};

/// How long a look around lasts (LAN-3).
pub const LOOK: Duration = Duration::from_secs(10);
/// Most announcements that one look takes in.
pub const ANNOUNCEMENTS_MAX: usize = 1_024;
/// Most records that a look remembers; somebody who sends more ends it.
pub const RECORDS_MAX: i64 = 4_096;
/// How often that is counted.
const COUNT_EVERY: Duration = Duration::from_millis(250);
/// Addresses that are taken of one announcement.
const ADDRESSES_MAX: usize = 2;

const SERVICE: &str = "_http._tcp.local.";
const KEY: &str = "v";

/// Multicast is not to be had here.
#[derive(Debug, thiserror::Error)]
#[error("the local network cannot be asked: {0}")]
pub struct LanError(#[from] mdns_sd::Error);

/// Announces until it is dropped.
#[derive(Debug)]
pub struct Announced {
    _daemon: Daemon,
}

/// Announces a relay at this port, by IPv4, on all networks but loopback and those of these addresses. `dice`: random, new at
/// each start.
pub fn announce(relay: &RelayId, port: u16, dice: [u8; 16], not_at: &[IpAddr]) -> Result<Announced, LanError> {
    let (nonce, name) = dice.split_first_chunk::<8>().expect("16 bytes");
    let beacon = Beacon::new(relay, *nonce).to_text();
    let name: String = name.iter().map(|byte| char::from(b'a' + byte % 26)).collect();
    let (name, host) = (format!("web-{name}"), format!("web-{name}.local."));
    let info = ServiceInfo::new(SERVICE, &name, &host, "", port, &[(KEY, beacon.as_str())][..])?;
    let daemon = Daemon::new()?;
    let others: Vec<IfKind> = not_at.iter().copied().map(IfKind::Addr).collect();
    daemon.0.disable_interface(others)?;
    daemon.0.register(info.enable_addr_auto())?;
    Ok(Announced { _daemon: daemon })
}

/// Looks around for [`LOOK`], and tells each beacon with its addresses.
pub async fn look(mut found: impl FnMut(Beacon, Vec<String>)) -> Result<(), LanError> {
    let daemon = Daemon::new()?;
    let services = daemon.0.browse(SERVICE)?;
    let until = Instant::now() + LOOK;
    let mut left = ANNOUNCEMENTS_MAX;
    while left > 0 && Instant::now() < until && daemon.records().await? <= RECORDS_MAX {
        let pause = until.min(Instant::now() + COUNT_EVERY);
        left = left.saturating_sub(take(&services, pause, &mut found).await);
    }
    Ok(())
}

/// Takes what comes until then. Out: how many announcements.
async fn take(services: &Receiver<ServiceEvent>, until: Instant, found: &mut impl FnMut(Beacon, Vec<String>)) -> usize {
    let mut taken = 0;
    while taken < ANNOUNCEMENTS_MAX
        && let Ok(Ok(event)) = timeout_at(until, services.recv_async()).await
    {
        taken += 1;
        if let ServiceEvent::ServiceResolved(service) = event
            && let Some(beacon) = beacon(&service)
        {
            found(beacon, addresses(&service));
        }
    }
    taken
}

fn beacon(service: &ResolvedService) -> Option<Beacon> {
    Beacon::parse(service.get_property_val_str(KEY)?)
}

/// Those of a local network only: nobody is to be sent anywhere else by an announcement.
fn addresses(service: &ResolvedService) -> Vec<String> {
    let mut local: Vec<Ipv4Addr> = service.get_addresses_v4().into_iter().filter(is_local).collect();
    local.sort_unstable();
    local.truncate(ADDRESSES_MAX);
    local.iter().map(|ip| format!("{ip}:{}", service.get_port())).collect()
}

const fn is_local(ip: &Ipv4Addr) -> bool {
    ip.is_private() || ip.is_link_local()
}

/// The thread that speaks multicast DNS. Ends when dropped.
struct Daemon(ServiceDaemon);

impl Daemon {
    fn new() -> Result<Self, LanError> {
        let daemon = Self(ServiceDaemon::new()?);
        daemon.0.disable_interface(vec![IfKind::LoopbackV4, IfKind::IPv6])?;
        Ok(daemon)
    }

    /// How many records it remembers of others.
    async fn records(&self) -> Result<i64, LanError> {
        let figures = self.0.get_metrics()?;
        let Ok(Ok(figures)) = timeout(COUNT_EVERY, figures.recv_async()).await else {
            return Ok(0);
        };
        let cached = figures.iter().filter(|(name, _)| name.starts_with("cached-"));
        Ok(cached.map(|(_, count)| count).sum())
    }
}

impl std::fmt::Debug for Daemon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Daemon")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It says goodbye to its neighbours and ends by itself.
        let _ = self.0.shutdown();
    }
}
