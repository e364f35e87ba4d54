//! What holds for every history and every policy.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;

use super::period::Period;
use super::{Candidate, Cycle, Plan, Reason, Retention, plan};

/// Half an hour into 2027, where the week, the month and the year have just changed or are about to.
fn now() -> DateTime<Utc> {
    "2027-01-01T00:30:00Z".parse().unwrap()
}

fn policies() -> impl Strategy<Value = Retention> {
    let count = || weighted(0.5, 0u32..6);
    let zones = prop_oneof![
        Just(Tz::UTC),
        Just(Tz::America__Sao_Paulo),
        Just(Tz::Europe__Berlin),
        Just(Tz::Pacific__Kiritimati),
        Just(Tz::Australia__Lord_Howe),
    ];
    let within = weighted(0.3, (0u64..2000).prop_map(|hours| Duration::from_secs(hours * 3600)));
    (zones, within, count(), count(), count(), count(), count(), count()).prop_map(
        |(timezone, within, last, hourly, daily, weekly, monthly, yearly)| Retention {
            timezone,
            last,
            within,
            hourly,
            daily,
            weekly,
            monthly,
            yearly,
        },
    )
}

/// Minutes of age, from a little in the future to three years back; dense in the last days, with equal times.
fn ages() -> impl Strategy<Value = i64> {
    prop_oneof![1 => -3000i64..0, 6 => 0i64..6000, 4 => 0i64..100_000, 3 => 0i64..1_500_000]
}

fn histories() -> impl Strategy<Value = Vec<Candidate>> {
    let rare = || prop::bool::weighted(0.12);
    let backup = (ages(), rare(), rare(), rare(), rare(), rare());
    vec(backup, 0..60).prop_map(|backups| {
        let made = backups.into_iter().enumerate().map(
            |(number, (age, proven, in_use, held, suspicious, broken))| {
                let time = now() - TimeDelta::minutes(age);
                let id = format!("{}-{:03}", time.format("%Y%m%dT%H%M%SZ"), (number * 37) % 101);
                Candidate { id, time, proven, in_use, held, suspicious, complete: !broken }
            },
        );
        made.collect()
    })
}

fn kept(plan: &Plan) -> BTreeSet<String> {
    plan.kept().map(|decision| decision.id.clone()).collect()
}

fn newest(backups: &[Candidate], wanted: impl Fn(&Candidate) -> bool) -> Option<&Candidate> {
    let past = backups.iter().filter(|backup| backup.time <= now() && backup.complete && wanted(backup));
    past.max_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)))
}

/// The whole semantics once more, slowly and rule by rule, to compare with.
fn kept_by_definition(backups: &[Candidate], policy: &Retention) -> BTreeSet<String> {
    let ordinary = |backup: &Candidate| backup.time <= now() && backup.complete && !backup.suspicious;
    let newer = |a: &Candidate, b: &Candidate| (a.time, &a.id) > (b.time, &b.id);
    let mut kept = BTreeSet::new();
    for backup in backups {
        let rivals: Vec<&Candidate> =
            backups.iter().filter(|other| ordinary(other) && newer(other, backup)).collect();
        let by_rule = || {
            let last = (rivals.len() as u64) < u64::from(policy.last.unwrap_or(0));
            let age = (now() - backup.time).to_std().unwrap();
            let within = policy.within.is_some_and(|within| !within.is_zero() && age <= within);
            let cycles = Cycle::ALL.into_iter().any(|cycle| {
                let period = |b: &Candidate| cycle.period(&b.time.with_timezone(&policy.timezone));
                let periods: HashSet<Period> = rivals.iter().map(|rival| period(rival)).collect();
                !periods.contains(&period(backup)) && (periods.len() as u64) < u64::from(policy.count(cycle))
            });
            last || within || cycles
        };
        let keep = policy.is_empty()
            || backup.held
            || backup.in_use
            || backup.time > now()
            || rivals.is_empty()
            || (backup.complete && backup.proven && !rivals.iter().any(|rival| rival.proven))
            || (backup.complete && by_rule());
        if keep {
            kept.insert(backup.id.clone());
        }
    }
    kept
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_plan_is_what_the_definition_says(backups in histories(), policy in policies()) {
        let plan = plan(&backups, &policy, now());
        prop_assert_eq!(kept(&plan), kept_by_definition(&backups, &policy));
    }

    #[test]
    fn every_backup_has_one_decision_with_a_reason(backups in histories(), policy in policies()) {
        let plan = plan(&backups, &policy, now());
        prop_assert_eq!(plan.decisions.len(), backups.len());
        prop_assert!(plan.decisions.iter().all(|decision| !decision.reasons.is_empty()));
        let order = |decision: &super::Decision| (decision.time, decision.id.clone());
        prop_assert!(plan.decisions.windows(2).all(|pair| order(&pair[0]) > order(&pair[1])));
    }

    #[test]
    fn what_is_protected_stays(backups in histories(), policy in policies()) {
        let kept = kept(&plan(&backups, &policy, now()));
        for backup in backups.iter().filter(|backup| backup.held || backup.in_use || backup.time > now()) {
            prop_assert!(kept.contains(&backup.id), "{} went", backup.id);
        }
        let ordinary = |backup: &Candidate| !backup.suspicious;
        for newest in [
            newest(&backups, |_| true),
            newest(&backups, ordinary),
            newest(&backups, |backup| backup.proven),
            newest(&backups, |backup| backup.proven && ordinary(backup)),
        ].into_iter().flatten() {
            prop_assert!(kept.contains(&newest.id), "{} went", newest.id);
        }
    }

    #[test]
    fn planning_again_over_what_is_kept_keeps_it_all(backups in histories(), policy in policies()) {
        let first = kept(&plan(&backups, &policy, now()));
        let left: Vec<Candidate> = backups.into_iter().filter(|backup| first.contains(&backup.id)).collect();
        prop_assert_eq!(kept(&plan(&left, &policy, now())), first);
    }

    #[test]
    fn the_order_of_the_list_does_not_matter(
        (backups, shuffled) in histories().prop_flat_map(|backups| (Just(backups.clone()), Just(backups).prop_shuffle())),
        policy in policies(),
    ) {
        prop_assert_eq!(plan(&backups, &policy, now()), plan(&shuffled, &policy, now()));
    }

    #[test]
    fn a_greater_policy_removes_nothing_more(backups in histories(), policy in policies(), more in policies()) {
        prop_assume!(!policy.is_empty());
        let greater = Retention {
            timezone: policy.timezone,
            last: policy.last.max(more.last),
            within: policy.within.max(more.within),
            hourly: policy.hourly.max(more.hourly),
            daily: policy.daily.max(more.daily),
            weekly: policy.weekly.max(more.weekly),
            monthly: policy.monthly.max(more.monthly),
            yearly: policy.yearly.max(more.yearly),
        };
        let (few, many) = (kept(&plan(&backups, &policy, now())), kept(&plan(&backups, &greater, now())));
        prop_assert!(few.is_subset(&many), "lost {:?}", few.difference(&many));
    }

    #[test]
    fn a_suspicious_future_or_incomplete_backup_removes_no_other(
        backups in histories(), policy in policies(), age in ages(), proven: bool, sort in 0..3,
    ) {
        let before = kept(&plan(&backups, &policy, now()));
        let time = match sort { 0 => now() + TimeDelta::minutes(age.abs() + 1), _ => now() - TimeDelta::minutes(age) };
        let mut added = Candidate { proven, ..Candidate::new("added", time) };
        added.suspicious = sort == 1;
        added.complete = sort != 2;
        let mut all = backups;
        all.push(added);
        let after = kept(&plan(&all, &policy, now()));
        prop_assert!(before.is_subset(&after), "lost {:?}", before.difference(&after));
    }

    #[test]
    fn each_slot_is_taken_once(backups in histories(), policy in policies()) {
        let plan = plan(&backups, &policy, now());
        for cycle in Cycle::ALL {
            let taken: Vec<u32> = plan.kept().flat_map(|decision| &decision.reasons).filter_map(|reason| match reason {
                Reason::Cycle { cycle: c, slot, beside: false, .. } if *c == cycle => Some(*slot),
                _ => None,
            }).collect();
            prop_assert!(taken.len() <= policy.count(cycle) as usize);
            prop_assert_eq!(taken.clone(), (1..=taken.len() as u32).collect::<Vec<_>>());
        }
    }

    #[test]
    fn periods_are_equal_exactly_when_their_texts_are(age in 0i64..1_500_000, other in 0i64..1_500_000) {
        let (a, b) = (now() - TimeDelta::minutes(age), now() - TimeDelta::minutes(other));
        for cycle in Cycle::ALL {
            let period = |time: DateTime<Utc>| cycle.period(&time.with_timezone(&Tz::Europe__Berlin));
            prop_assert_eq!(period(a) == period(b), period(a).to_string() == period(b).to_string());
        }
    }
}
