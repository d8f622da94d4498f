//! Addresses whose connections were ended for what they did: their next ones wait.
//!
//! Relies on: nothing. Never: refuses an address, or makes it wait for long, because others may be behind it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How much longer an address waits for each connection that was ended.
const EACH: Duration = Duration::from_secs(1);
/// How long it waits at most.
const MOST: Duration = Duration::from_secs(10);
/// How long it is remembered afterwards, in which it may do less.
const MEMORY: Duration = Duration::from_secs(60);
/// Addresses that are remembered; beyond, those that wait the shortest are forgotten.
const ADDRESSES: usize = 4_096;

/// Addresses, and until when each waits.
#[derive(Debug, Default)]
pub(super) struct Penalties {
    until: Mutex<BTreeMap<IpAddr, Instant>>,
}

impl Penalties {
    /// A connection from there was ended.
    pub(super) fn add(&self, address: IpAddr) {
        let (address, now) = (of_a_customer(address), Instant::now());
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        let before = until.get(&address).map_or(now, |before| now.max(*before));
        until.insert(address, (before + EACH).min(now + MOST));
        if until.len() > ADDRESSES {
            until.retain(|_, until| *until + MEMORY > now);
        }
        if until.len() > ADDRESSES
            && let Some((&shortest, _)) = until.iter().min_by_key(|(_, until)| **until)
        {
            until.remove(&shortest);
        }
    }

    /// Until when connections from there wait, which may be over; `None` of an address that did nothing, or long ago.
    pub(super) fn of(&self, address: IpAddr) -> Option<Instant> {
        let until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        let until = until.get(&of_a_customer(address)).copied()?;
        (until + MEMORY > Instant::now()).then_some(until)
    }
}

/// The part of an address that one customer has: of version 6, the first half.
fn of_a_customer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => Ipv6Addr::from_bits(six.to_bits() >> 64 << 64).into(),
        four @ IpAddr::V4(_) => four,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    use tokio::time::{Instant, advance};

    use super::{ADDRESSES, EACH, MEMORY, MOST, Penalties};

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_waits_longer_each_time_and_is_forgiven() {
        let penalties = Penalties::default();
        let bad = address("192.0.2.1");
        let waits = |address| penalties.of(address).map(|until| until - Instant::now());
        assert_eq!(waits(bad), None);
        for times in 1..20 {
            penalties.add(bad);
            assert_eq!(waits(bad), Some((EACH * times).min(MOST)));
        }
        assert_eq!(
            waits(address("::ffff:192.0.2.1")),
            Some(MOST),
            "it is the same"
        );
        assert_eq!(waits(address("192.0.2.2")), None);
        advance(MOST + MEMORY - Duration::from_millis(1)).await;
        assert_eq!(waits(bad), Some(Duration::ZERO));
        advance(Duration::from_millis(1)).await;
        assert_eq!(waits(bad), None);
    }

    #[tokio::test(start_paused = true)]
    async fn neighbours_of_version_6_are_one() {
        let penalties = Penalties::default();
        penalties.add(address("2001:db8:0:1::1"));
        assert!(penalties.of(address("2001:db8:0:1:ffff::2")).is_some());
        assert!(penalties.of(address("2001:db8:0:2::1")).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn not_more_addresses_are_remembered_than_the_limit() {
        let penalties = Penalties::default();
        let first = address("192.0.2.1");
        penalties.add(first);
        penalties.add(first);
        for number in 0..2 * u32::try_from(ADDRESSES).unwrap() {
            penalties.add(Ipv4Addr::from_bits(number).into());
        }
        assert_eq!(penalties.until.lock().unwrap().len(), ADDRESSES);
        assert!(penalties.of(first).is_some(), "it waits the longest");
    }
}
