//! Listing, finding, and the facts that retention decides on.

use super::*;
use crate::catalog::list::sources;
use crate::catalog::manifest::Manifest;
use crate::error::Kind;

/// Plants a backup without data, `hours` after the epoch.
fn plant(store: &TestStore, hours: i64, change: impl FnOnce(&mut Manifest)) -> BackupId {
    let time = epoch() + TimeDelta::hours(hours);
    let mut manifest = sample_manifest();
    manifest.id = BackupId::new(time);
    manifest.recovery_point.time = time;
    change(&mut manifest);
    store.plant(&format!("orders/manifests/{}.json", manifest.id), manifest.encode().unwrap());
    manifest.id
}

#[tokio::test(start_paused = true)]
async fn a_listing_costs_three_lists_and_one_get_a_backup() {
    let store = TestStore::new(epoch());
    let ids: Vec<BackupId> = (0..100).map(|hour| plant(&store, hour, |_| {})).collect();
    let view = store.view();
    let listing = orders(&view).list().await.unwrap();
    assert_eq!(listing.backups.iter().map(|b| b.id.clone()).collect::<Vec<_>>(), ids);
    let log = view.log();
    assert_eq!(log.lines().filter(|line| line.contains(" list ")).count(), 3);
    assert_eq!(view.count(), 103);
}

#[tokio::test(start_paused = true)]
async fn a_listing_says_what_is_proven_held_and_suspicious() {
    let store = TestStore::new(epoch());
    let [plain, proven, failed, both] = [0, 1, 2, 3].map(|hour| plant(&store, hour, |_| {}));
    let shrunk = plant(&store, 4, |m| m.suspicious = Some("rows fell".into()));
    let drill = |id: &BackupId, hour: u32, verdict: &str| {
        store.plant(&format!("orders/drills/{id}/20261125T{hour:02}0000Z.{verdict}.json"), "{}");
    };
    drill(&proven, 1, "passed");
    drill(&proven, 2, "passed");
    drill(&failed, 1, "failed");
    drill(&both, 1, "passed");
    drill(&both, 2, "failed");
    store.plant(&format!("orders/drills/{plain}/readme.json"), "{}");
    store.plant(&format!("orders/holds/{plain}.json"), "{}");
    let listing = orders(&store.view()).list().await.unwrap();
    let at = |hour: i64| Some(epoch() + TimeDelta::hours(22 + hour));
    let seen: Vec<_> = listing.backups.iter().map(|b| (&b.id, b.proven, b.failed, b.held)).collect();
    let expected = [
        (&plain, None, None, true),
        (&proven, at(2), None, false),
        (&failed, None, at(1), false),
        (&both, at(1), at(2), false),
        (&shrunk, None, None, false),
    ];
    assert_eq!(seen, expected);
    assert_eq!(listing.newest().unwrap().id, shrunk);
    assert_eq!(listing.newest().unwrap().suspicious.as_deref(), Some("rows fell"));
    assert_eq!(listing.newest_proven().unwrap().id, proven, "the last drill of `both` failed");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_manifest_is_broken_and_no_backup() {
    let store = TestStore::new(epoch());
    let good = plant(&store, 0, |_| {});
    let newer = plant(&store, 1, |m| m.schema = 2);
    let cut = plant(&store, 2, |_| {});
    let bytes = store.peek(&format!("orders/manifests/{cut}.json")).unwrap();
    store.plant(&format!("orders/manifests/{cut}.json"), bytes.slice(..bytes.len() / 2));
    let copied = plant(&store, 3, |_| {});
    store.plant(
        &format!("orders/manifests/{copied}.json"),
        store.peek(&format!("orders/manifests/{good}.json")).unwrap(),
    );
    store.plant("orders/manifests/notes.txt", "hello");
    let listing = orders(&store.view()).list().await.unwrap();
    assert_eq!(listing.backups.iter().map(|b| &b.id).collect::<Vec<_>>(), [&good]);
    let broken: Vec<String> = listing.broken.iter().map(|b| b.error.message().to_owned()).collect();
    assert_eq!(
        broken,
        [
            format!(
                "the manifest of backup {newer} of orders was written by a newer lifeboat (schema 2, this one reads 1)"
            ),
            format!("the manifest of backup {cut} of orders is not a manifest"),
            format!("the manifest of backup {copied} of orders is that of backup {good} of orders"),
            "orders/manifests/notes.txt is not named like a manifest".to_owned(),
        ]
    );
    assert!(listing.broken.iter().all(|b| b.error.kind() == Kind::Damaged));
    // Data with a broken manifest is no garbage.
    store.plant(&format!("orders/data/{cut}/dump"), "123");
    tokio::time::advance(9 * DAY).await;
    assert!(orders(&store).garbage(store.now(), GARBAGE_GRACE, None).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_manifest_that_vanishes_is_left_out_and_one_that_cannot_be_read_fails_the_list() {
    let store = TestStore::new(epoch());
    let ids = [0, 1, 2].map(|hour| plant(&store, hour, |_| {}));
    let view = store.view();
    let (inner, gone) = (store.clone(), ids[1].clone());
    view.before(3, async move { inner.uproot(&format!("orders/manifests/{gone}.json")) });
    let listing = orders(&view).list().await.unwrap();
    assert_eq!(listing.backups.iter().map(|b| &b.id).collect::<Vec<_>>(), [&ids[0], &ids[2]]);
    assert!(listing.broken.is_empty());

    for n in 0..5 {
        let view = store.view();
        view.fault(n, Fault::FailBefore);
        assert_eq!(orders(&view).list().await.unwrap_err().kind(), Kind::Store, "at {n}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_backup_is_found_by_latest_and_by_the_beginning_of_its_id() {
    let store = TestStore::new(epoch());
    let catalog = orders(&store.view());
    let error = catalog.find("latest").await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (Kind::Failed, "orders has no backup"));
    assert_eq!(error.hint_text(), Some("make one with `lifeboat backup orders`"));

    let ids = [0, 1, 25].map(|hour| plant(&store, hour, |_| {}));
    assert_eq!(catalog.find("latest").await.unwrap().id, ids[2]);
    assert_eq!(catalog.find(ids[0].as_str()).await.unwrap().id, ids[0]);
    assert_eq!(catalog.find("20261125").await.unwrap().id, ids[2]);

    let error = catalog.find("20261124").await.unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (Kind::Usage, "`20261124` is the beginning of 2 backups of orders")
    );
    assert_eq!(error.hint_text().unwrap(), format!("give more of the id: {}, {}", ids[0], ids[1]));

    let error = catalog.find("20261124T03x").await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (Kind::Failed, "orders has no backup `20261124T03x`"));
    assert_eq!(error.hint_text().unwrap(), format!("the nearest are {}, {}, {}", ids[1], ids[0], ids[2]));
    assert_eq!(catalog.find("").await.unwrap_err().kind(), Kind::Failed);
}

#[tokio::test(start_paused = true)]
async fn latest_never_means_an_older_backup_silently() {
    let store = TestStore::new(epoch());
    plant(&store, 0, |_| {});
    let newest = plant(&store, 1, |_| {});
    store.plant(&format!("orders/manifests/{newest}.json"), "{");
    let error = orders(&store.view()).find("latest").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged);
    assert_eq!(error.message(), format!("the newest backup of orders, {newest}, cannot be read"));
}

#[tokio::test(start_paused = true)]
async fn facts_tell_retention_what_it_needs() {
    use crate::catalog::uses::USE_DEAD_AFTER;
    let store = TestStore::new(epoch());
    let [held, used, begun] = [0, 1, 2].map(|hour| plant(&store, hour, |_| {}));
    store.plant(&format!("orders/holds/{held}.json"), "{}");
    store.plant(&format!("orders/uses/{used}/r1.json"), "{}");
    store.plant(&format!("orders/removing/{begun}.json"), "{}");
    let written = store.now();
    let catalog = orders(&store.view());
    let in_use = |facts: &crate::catalog::facts::Facts| {
        facts.backups.iter().filter(|b| b.in_use).map(|b| b.id.clone()).collect::<Vec<_>>()
    };
    let facts = catalog.facts(Some(written + USE_DEAD_AFTER)).await.unwrap();
    assert_eq!(in_use(&facts), std::slice::from_ref(&used));
    assert_eq!(facts.begun_removals, [(begun, true)]);
    assert_eq!(facts.backups.iter().map(|b| b.held).collect::<Vec<_>>(), [true, false, false]);
    assert_eq!(facts.backups[1].time, epoch() + TimeDelta::hours(1));
    let facts = catalog.facts(Some(written + USE_DEAD_AFTER + TimeDelta::seconds(1))).await.unwrap();
    assert!(in_use(&facts).is_empty());
    assert_eq!(in_use(&catalog.facts(None).await.unwrap()), [used]);
}

#[tokio::test(start_paused = true)]
async fn sources_are_the_first_segments_of_known_keys() {
    let store = TestStore::new(epoch());
    plant(&store, 0, |_| {});
    store.plant("billing/lease.json", "{}");
    store.plant("README.txt", "hello");
    store.plant("other/things/x", "hello");
    assert_eq!(sources(&store).await.unwrap(), ["billing", "orders"]);
}
