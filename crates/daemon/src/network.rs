//! Which network the computer is on, as far as that can be told from here.
//!
//! In: the system's table of routes and of neighbours. Out: 16 bytes that are the same each time it is there, made of the
//! gateway's addresses. They stay on this device, inside the encrypted profile.

use sha2::{Digest, Sha256};
use stonechat_transport::NetworkId;

/// The network at this moment; nothing where there is none, or the system does not say.
pub(crate) fn here() -> Option<NetworkId> {
    let routes = std::fs::read_to_string("/proc/net/route").ok()?;
    let neighbours = std::fs::read_to_string("/proc/net/arp").unwrap_or_default();
    of(&routes, &neighbours)
}

/// By the gateway's hardware address where it is known, else by its IP address and the interface.
fn of(routes: &str, neighbours: &str) -> Option<NetworkId> {
    let (interface, gateway) = gateway(routes)?;
    let name = match hardware_address(neighbours, gateway) {
        Some(address) => format!("{gateway} {address}"),
        None => format!("{gateway} at {interface}"),
    };
    let hash = Sha256::new_with_prefix("stonechat/network")
        .chain_update(name)
        .finalize();
    hash.first_chunk().copied().map(NetworkId)
}

/// Interface and address of the default route with the lowest metric.
fn gateway(routes: &str) -> Option<(&str, std::net::Ipv4Addr)> {
    let rows = routes.lines().skip(1).filter_map(|line| {
        let mut columns = line.split_ascii_whitespace();
        let (interface, to, gateway) = (columns.next()?, columns.next()?, columns.next()?);
        let metric: u32 = columns.nth(3)?.parse().ok()?;
        let gateway = u32::from_str_radix(gateway, 16).ok()?;
        (to == "00000000").then_some((metric, interface, std::net::Ipv4Addr::from(gateway.to_ne_bytes())))
    });
    let (_, interface, gateway) = rows.min_by_key(|(metric, ..)| *metric)?;
    Some((interface, gateway))
}

fn hardware_address(neighbours: &str, of: std::net::Ipv4Addr) -> Option<&str> {
    let mut rows = neighbours
        .lines()
        .skip(1)
        .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    rows.find_map(|row| match row.as_slice() {
        [address, _, _, hardware, ..] if address.parse() == Ok(of) => Some(*hardware),
        _ => None,
    })
    .filter(|hardware| *hardware != "00:00:00:00:00:00")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &str = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
        wlan0 00000000 0101A8C0 0003 0 0 600 00000000 0 0 0\n\
        eth0 00000000 0100000A 0003 0 0 100 00000000 0 0 0\n\
        eth0 0000000A 00000000 0001 0 0 100 00FFFFFF 0 0 0\n";
    const NEIGHBOURS: &str = "IP address HW type Flags HW address Mask Device\n\
        10.0.0.1 0x1 0x2 02:00:00:00:00:07 * eth0\n";

    #[test]
    #[cfg(target_endian = "little")]
    fn a_network_is_told_by_its_gateway_trk_8() {
        assert_eq!(gateway(ROUTES), Some(("eth0", [10, 0, 0, 1].into())));
        let here = of(ROUTES, NEIGHBOURS);
        assert!(here.is_some() && here == of(ROUTES, NEIGHBOURS));
        // Another box at the same address is another network; which interface leads there is not.
        assert_ne!(of(ROUTES, &NEIGHBOURS.replace(":07", ":08")), here);
        assert_eq!(of(&ROUTES.replace("eth0", "usb0"), NEIGHBOURS), here);
        assert_ne!(of(ROUTES, ""), here);
        for nothing in ["", "Iface\n", "Iface\nlo zz\n", "Iface\neth0 0000000A 0 0 0 0 0 0\n"] {
            assert_eq!(of(nothing, NEIGHBOURS), None, "{nothing}");
        }
    }
}
