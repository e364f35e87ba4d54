//! Restores that are killed at every step.

use super::*;

struct Home {
    _at: tempfile::TempDir,
    layout: Layout,
}

impl Home {
    fn new() -> Home {
        let at = tempfile::tempdir().unwrap();
        let layout =
            Layout { databases: at.path().join("databases"), transactions: at.path().join("transactions") };
        std::fs::create_dir(&layout.databases).unwrap();
        std::fs::create_dir(&layout.transactions).unwrap();
        Home { _at: at, layout }
    }

    /// A database of a word.
    fn make(&self, word: &str) {
        for directory in self.layout.of_database("db") {
            std::fs::create_dir(&directory).unwrap();
            std::fs::write(directory.join("file"), word).unwrap();
        }
    }

    /// What is there: names, and the words of the database.
    fn look(&self) -> String {
        let words = self.layout.of_database("db").map(|directory| {
            std::fs::read_to_string(directory.join("file"))
                .unwrap_or_else(|_| if directory.exists() { "half".into() } else { "none".into() })
        });
        let names = |directory: &Path| std::fs::read_dir(directory).unwrap().count();
        let names = names(&self.layout.databases) + names(&self.layout.transactions);
        format!("{} {names}", words.join(" "))
    }

    fn put(&self) -> Aside {
        Aside::put(&self.layout, "db", lock(&self.layout).unwrap()).unwrap()
    }

    fn repair(&self) -> bool {
        repair(&self.layout, "db", &lock(&self.layout).unwrap()).unwrap()
    }

    fn findings(&self) -> String {
        let found = findings(&self.layout, "db");
        found.iter().map(|found| format!("{:?} ", found.level)).collect()
    }
}

#[test]
fn an_old_database_goes_when_the_new_one_counts() {
    let home = Home::new();
    home.make("old");
    let aside = home.put();
    assert_eq!(home.look(), "none none 2");
    home.make("new");
    aside.commit().unwrap();
    aside.forget().unwrap();
    assert_eq!(home.look(), "new new 2");
    assert!(!home.repair());
}

#[test]
fn an_old_database_comes_back() {
    let home = Home::new();
    home.make("old");
    let aside = home.put();
    std::fs::create_dir(&home.layout.of_database("db")[0]).unwrap();
    aside.bring_back().unwrap();
    assert_eq!(home.look(), "old old 2");
    // One that was new leaves nothing.
    let home = Home::new();
    let aside = home.put();
    home.make("half");
    aside.bring_back().unwrap();
    assert_eq!(home.look(), "none none 0");
}

#[test]
fn a_kill_before_the_moment_that_counts_is_undone() {
    // After the first rename.
    let home = Home::new();
    home.make("old");
    let places = Places::of(&home.layout, "db");
    rename(&places.store.real, &places.store.replaced).unwrap();
    assert_eq!((home.findings().as_str(), home.repair()), ("Error ", true));
    assert_eq!(home.look(), "old old 2");

    // After both, with nothing, the store's directory, or all of the new one.
    for made in 0..=2 {
        let home = Home::new();
        home.make("old");
        drop(home.put());
        for directory in &home.layout.of_database("db")[..made] {
            std::fs::create_dir(directory).unwrap();
        }
        assert_eq!((home.findings().as_str(), home.repair()), ("Error Error ", true));
        assert_eq!(home.look(), "old old 2", "{made}");
    }

    // In the undoing itself: the store is back, the logs are not.
    let home = Home::new();
    home.make("old");
    drop(home.put());
    let places = Places::of(&home.layout, "db");
    rename(&places.store.replaced, &places.store.real).unwrap();
    assert!(home.repair());
    assert_eq!(home.look(), "old old 2");

    // A database that was new.
    let home = Home::new();
    drop(home.put());
    home.make("half");
    assert_eq!((home.findings().as_str(), home.repair()), ("Error ", true));
    assert_eq!(home.look(), "none none 0");
}

#[test]
fn a_kill_after_the_moment_that_counts_is_gone_on_with() {
    let home = Home::new();
    home.make("old");
    let aside = home.put();
    home.make("new");
    aside.commit().unwrap();
    drop(aside);
    assert_eq!(home.findings(), "Warning Warning ");
    // Killed once more while it removes.
    remove(&Places::of(&home.layout, "db").logs.replaced).unwrap();
    assert!(home.repair());
    assert_eq!(home.look(), "new new 2");
    assert_eq!(home.findings(), "");
}

#[test]
fn a_rename_that_is_refused_changes_nothing() {
    let home = Home::new();
    home.make("old");
    // Something is in the way, which cannot be replaced by a rename.
    let places = Places::of(&home.layout, "db");
    for way in [&places.logs.replaced, &places.store.replaced] {
        std::fs::write(way, "in the way").unwrap();
        assert!(Aside::put(&home.layout, "db", lock(&home.layout).unwrap()).is_err());
        std::fs::remove_file(way).unwrap();
        assert_eq!(home.look(), "old old 2");
    }
}

#[test]
fn two_restores_do_not_work_at_once() {
    let home = Home::new();
    home.make("old");
    let aside = home.put();
    assert_eq!(lock(&home.layout).unwrap_err().kind(), Kind::Leased);
    assert_eq!(home.findings(), "", "it is no killed restore");
    aside.bring_back().unwrap();
    assert!(lock(&home.layout).is_ok());
}

#[test]
fn logs_without_a_store_are_put_aside_too() {
    let home = Home::new();
    home.make("old");
    std::fs::remove_dir_all(&home.layout.of_database("db")[0]).unwrap();
    let aside = home.put();
    home.make("half");
    drop(aside);
    assert!(home.repair());
    assert_eq!(home.look(), "none old 1");
    let aside = home.put();
    home.make("new");
    aside.commit().unwrap();
    drop(aside);
    assert!(home.repair());
    assert_eq!(home.look(), "new new 2");
}
