//! How long leases and leftovers are respected: fixed, except in tests of crashes.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::catalog::garbage::GARBAGE_GRACE;
use crate::catalog::lease::{LEASE_TTL, LeaseOptions};

/// The variable that shortens the lease's time to live, in tests. All runs of a source have to agree on it.
const TTL: &str = "LIFEBOAT_TEST_LEASE_TTL";
/// The variable that shortens the grace of garbage, in tests.
const GRACE: &str = "LIFEBOAT_TEST_GARBAGE_GRACE";

/// How long leases and leftovers are respected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timings {
    /// Time to live of a lease without a heartbeat.
    pub lease_ttl: Duration,
    /// Data without a manifest, and open uploads, are garbage after this time.
    pub garbage_grace: Duration,
}

impl Timings {
    /// The fixed times, or those of the tests' variables. A variable that is no duration counts as not set.
    pub fn of(environment: &BTreeMap<String, String>) -> Timings {
        let given = |name: &str| humantime::parse_duration(environment.get(name)?).ok();
        Timings {
            lease_ttl: given(TTL).filter(|ttl| !ttl.is_zero()).unwrap_or(LEASE_TTL),
            garbage_grace: given(GRACE).unwrap_or(GARBAGE_GRACE),
        }
    }

    /// How a lease is taken and kept: heartbeat and polls keep their share of the time to live.
    pub fn lease(&self) -> LeaseOptions {
        if self.lease_ttl == LEASE_TTL {
            return LeaseOptions::default();
        }
        LeaseOptions {
            ttl: self.lease_ttl,
            heartbeat: self.lease_ttl / 4,
            poll: self.lease_ttl / 12,
            ..LeaseOptions::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timings(variables: &[(&str, &str)]) -> Timings {
        Timings::of(&variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
    }

    #[test]
    fn without_variables_and_with_wrong_ones_times_are_those_of_production() {
        for variables in [&[][..], &[(TTL, "0s"), (GRACE, "soon")], &[(TTL, "")]] {
            let fixed = Timings { lease_ttl: LEASE_TTL, garbage_grace: GARBAGE_GRACE };
            assert_eq!(timings(variables), fixed, "{variables:?}");
        }
    }

    #[test]
    fn a_shorter_lease_keeps_its_proportions() {
        let lease = timings(&[(TTL, "4s"), (GRACE, "0s")]).lease();
        assert_eq!((lease.ttl, lease.heartbeat), (Duration::from_secs(4), Duration::from_secs(1)));
        assert!(lease.poll < lease.heartbeat);
    }
}
