//! Evidence of drills: written once, kept as long as it decides something.

use super::*;
use crate::catalog::evidence::{Evidence, expired};

#[tokio::test(start_paused = true)]
async fn evidence_is_never_overwritten() {
    let store = TestStore::new(epoch());
    let view = store.view();
    let catalog = orders(&view);
    let id = BackupId::new(epoch());
    let write = |body: &'static str| catalog.record_drill(&id, epoch(), true, Bytes::from(body));
    assert_eq!(write("one").await.unwrap(), format!("orders/drills/{id}/20261124T020000Z.passed.json"));
    assert_eq!(write("two").await.unwrap(), format!("orders/drills/{id}/20261124T020001Z.passed.json"));
    // The same record again is a write whose answer was lost.
    assert_eq!(write("one").await.unwrap(), format!("orders/drills/{id}/20261124T020000Z.passed.json"));
    let all = catalog.evidence().await.unwrap();
    assert_eq!(
        all.iter().map(|e| (e.time, e.passed, e.bytes)).collect::<Vec<_>>(),
        [(epoch(), true, 3), (epoch() + TimeDelta::seconds(1), true, 3)]
    );
}

fn drill(id: &BackupId, days_ago: i64, passed: bool) -> Evidence {
    let time = epoch() - TimeDelta::days(days_ago);
    Evidence { key: format!("{id} {days_ago} {passed}"), id: id.clone(), time, passed, bytes: 1 }
}

#[test]
fn old_evidence_expires_unless_it_decides_about_a_backup_that_is_there() {
    let (here, gone) = (BackupId::new(epoch()), BackupId::new(epoch()));
    let all = [
        drill(&here, 400, true),
        drill(&here, 300, true),
        drill(&here, 250, false),
        drill(&here, 200, false),
        drill(&gone, 400, true),
        drill(&gone, 10, true),
    ];
    let keep = 90 * DAY;
    let chosen = |existing: &[BackupId]| {
        expired(&all, existing, keep, epoch()).into_iter().map(|e| e.key.clone()).collect::<Vec<_>>()
    };
    assert_eq!(chosen(std::slice::from_ref(&here)), [&all[0], &all[2], &all[4]].map(|e| e.key.clone()));
    assert_eq!(chosen(&[]), [0, 1, 2, 3, 4].map(|n| all[n].key.clone()));
    assert!(expired(&all, &[], 500 * DAY, epoch()).is_empty());
}

#[tokio::test(start_paused = true)]
async fn chosen_evidence_is_removed_and_a_refusal_stops_nothing() {
    let store = TestStore::new(epoch());
    let view = store.view();
    let catalog = orders(&view);
    let id = BackupId::new(epoch());
    for second in 0..3 {
        let time = epoch() + TimeDelta::seconds(second);
        catalog.record_drill(&id, time, second == 0, Bytes::from_static(b"{}")).await.unwrap();
    }
    view.deny_delete("020001Z");
    let all = catalog.evidence().await.unwrap();
    let errors = catalog.remove_evidence(&all.iter().collect::<Vec<_>>()).await;
    assert_eq!(errors.len(), 1);
    assert_eq!(catalog.evidence().await.unwrap(), [all[1].clone()]);
}
