//! A load on a database whose content is right at every instant, and at no mixture of instants.
//!
//! Money moves between accounts in two collections, each move a transaction that also writes down what the
//! balances were. Beside it, documents of every kind come, change and go, and definitions change.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use mongodb::bson::{DateTime, Document, doc};
use mongodb::{Client, Collection};
use tokio::task::JoinSet;

/// Accounts in each of the two collections.
const ACCOUNTS: i32 = 40;
/// What each has at first.
const BALANCE: i64 = 1000;

/// A load that goes on until it is ended.
pub struct Load {
    stop: Arc<AtomicBool>,
    moves: Arc<AtomicU64>,
    tasks: JoinSet<()>,
}

/// Makes the accounts, and enough else that a dump takes its time.
pub async fn prepare(client: &Client, database: &str) {
    let db = client.database(database);
    for accounts in ["savings", "checking"] {
        let accounts = db.collection::<Document>(accounts);
        let all = (0..ACCOUNTS).map(|id| doc! { "_id": id, "balance": BALANCE, "moves": 0_i64 });
        accounts.insert_many(all).await.unwrap();
    }
    let text = "x".repeat(2000);
    for collection in 0..6 {
        let all = (0..4000).map(|id| doc! { "_id": id, "text": &text, "tags": [id % 7, id % 3], "n": 0 });
        db.collection::<Document>(&format!("bulk{collection}")).insert_many(all).await.unwrap();
    }
    for command in [
        doc! { "create": "log" },
        doc! { "create": "ring", "capped": true, "size": 1 << 20, "max": 500 },
        doc! { "create": "weather", "timeseries": { "timeField": "at", "metaField": "place" } },
        doc! { "create": "rich", "viewOn": "savings", "pipeline": [{ "$match": { "balance": { "$gt": 1000 } } }] },
        doc! { "createIndexes": "bulk0", "indexes": [{ "key": { "n": 1 }, "name": "n" }, { "key": { "tags": 1 }, "name": "tags" }] },
    ] {
        db.run_command(command).await.unwrap();
    }
}

impl Load {
    /// Starts it in the runtime of the caller.
    pub fn start(client: &Client, database: &str) -> Load {
        let mut load = Load { stop: Arc::default(), moves: Arc::default(), tasks: JoinSet::new() };
        for number in 0..3 {
            let (client, database) = (client.clone(), database.to_owned());
            let (stop, moves) = (load.stop.clone(), load.moves.clone());
            load.tasks.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    if move_money(&client, &database, number).await.is_ok() {
                        moves.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let (client, database, stop) = (client.clone(), database.to_owned(), load.stop.clone());
        let (other, elsewhere, ended) = (client.clone(), database.clone(), stop.clone());
        load.tasks.spawn(async move {
            let mut round = 0;
            while !stop.load(Ordering::Relaxed) {
                change_documents(&client, &database, round).await;
                round += 1;
            }
        });
        load.tasks.spawn(async move {
            let mut round = 0;
            while !ended.load(Ordering::Relaxed) {
                change_definitions(&other, &elsewhere, round).await;
                round += 1;
                // Without end, there would be too many.
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        });
        load
    }

    /// How often money has moved since its start.
    pub fn moves(&self) -> u64 {
        self.moves.load(Ordering::Relaxed)
    }

    /// Waits until money has moved so often since its start.
    pub async fn reach(&self, moves: u64) {
        while self.moves() < moves {
            assert!(!self.tasks.is_empty());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends it. Returns how often money moved.
    pub async fn end(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
        self.moves.load(Ordering::Relaxed)
    }
}

async fn move_money(client: &Client, database: &str, number: i32) -> mongodb::error::Result<()> {
    let db = client.database(database);
    let amount = fastrand::i64(1..20);
    let (from, to) = (fastrand::i32(0..ACCOUNTS), fastrand::i32(0..ACCOUNTS));
    let mut session = client.start_session().await?;
    session.start_transaction().await?;
    let mut balances = Vec::new();
    for (accounts, id, change) in [("savings", from, -amount), ("checking", to, amount)] {
        let accounts: Collection<Document> = db.collection(accounts);
        let update = doc! { "$inc": { "balance": change, "moves": 1_i64 }, "$push": { "last": { "$each": [change], "$slice": -5 } } };
        let changed = accounts.find_one_and_update(doc! { "_id": id }, update);
        let changed =
            changed.return_document(mongodb::options::ReturnDocument::After).session(&mut session).await?;
        let changed = changed.unwrap();
        balances.push((changed.get_i64("balance").unwrap(), changed.get_i64("moves").unwrap()));
    }
    let entry = doc! { "from": from, "to": to, "amount": amount, "by": number,
    "from_balance": balances[0].0, "from_move": balances[0].1, "to_balance": balances[1].0, "to_move": balances[1].1 };
    db.collection("log").insert_one(entry).session(&mut session).await?;
    session.commit_transaction().await
}

async fn change_documents(client: &Client, database: &str, round: i32) {
    let db = client.database(database);
    let bulk: Collection<Document> = db.collection(&format!("bulk{}", round % 3));
    let id = fastrand::i32(0..4000);
    let update = doc! { "$inc": { "n": 1 }, "$push": { "tags": { "$each": [round], "$position": 1 } }, "$set": { "a.b": round } };
    bulk.update_one(doc! { "_id": id }, update).await.unwrap();
    bulk.update_many(
        doc! { "_id": { "$lt": 80 } },
        doc! { "$pull": { "tags": { "$gt": 5 } }, "$unset": { "a": 1 } },
    )
    .await
    .unwrap();
    bulk.delete_one(doc! { "_id": fastrand::i32(0..4000) }).await.unwrap();
    bulk.insert_one(doc! { "text": "new", "round": round }).await.unwrap();
    bulk.replace_one(doc! { "_id": id }, doc! { "tags": [], "n": round }).upsert(true).await.unwrap();
    db.collection("ring").insert_one(doc! { "n": round }).await.unwrap();
    let at = DateTime::from_millis(1_700_000_000_000 + i64::from(round) * 1000);
    db.collection("weather").insert_one(doc! { "at": at, "place": round % 3, "value": round }).await.unwrap();
}

async fn change_definitions(client: &Client, database: &str, round: i32) {
    let db = client.database(database);
    let made = format!("made{round}");
    let index = |name: &str| doc! { "key": { name: 1 }, "name": name };
    let sets = format!("limit {round}");
    for command in [
        doc! { "create": &made, "collation": { "locale": "de" }, "validator": { "n": { "$gte": 0 } } },
        doc! { "insert": &made, "documents": [{ "_id": 1, "n": round }, { "_id": 2, "n": 5 }] },
        doc! { "createIndexes": &made, "indexes": [index("n"), doc! { "key": { "m": -1 }, "name": "m", "unique": true, "sparse": true }] },
        doc! { "collMod": &made, "validator": { "n": { "$gte": -1 }, "text": { "$ne": &sets } } },
        doc! { "dropIndexes": &made, "index": "n" },
        doc! { "create": format!("view{round}"), "viewOn": &made, "pipeline": [{ "$project": { "n": 1 } }] },
        doc! { "collMod": "rich", "viewOn": "checking", "pipeline": [{ "$match": { "balance": { "$gt": round } } }] },
        doc! { "createIndexes": "bulk1", "indexes": [index("n"), index("tags")] },
        doc! { "collMod": "bulk0", "index": { "name": "n", "hidden": round % 2 == 0 } },
        doc! { "dropIndexes": "bulk1", "index": "n" },
        doc! { "create": format!("times{round}"), "timeseries": { "timeField": "t", "granularity": "hours" } },
        doc! { "insert": format!("times{round}"), "documents": [{ "t": DateTime::from_millis(0), "n": round }] },
    ] {
        let shown = command.to_string();
        db.run_command(command).await.unwrap_or_else(|error| panic!("{shown}: {error}"));
    }
}

/// The money is all there, and the log explains every balance: as many entries as moves, the newest of each
/// account with its balance.
pub async fn assert_right(client: &Client, database: &str) -> u64 {
    let db = client.database(database);
    let all = async |name: &str| -> Vec<Document> {
        let found = db.collection::<Document>(name).find(doc! {}).await.unwrap();
        found.map(|document| document.unwrap()).collect().await
    };
    let log = all("log").await;
    let mut sum = 0;
    for (accounts, side) in [("savings", "from"), ("checking", "to")] {
        for account in all(accounts).await {
            let (id, balance) = (account.get_i32("_id").unwrap(), account.get_i64("balance").unwrap());
            let own: Vec<&Document> = log.iter().filter(|entry| entry.get_i32(side).unwrap() == id).collect();
            assert_eq!(own.len() as i64, account.get_i64("moves").unwrap(), "{accounts} {id} of {database}");
            let number = format!("{side}_move");
            let newest = own.iter().max_by_key(|entry| entry.get_i64(&number).unwrap());
            if let Some(newest) = newest {
                assert_eq!(
                    newest.get_i64(format!("{side}_balance")).unwrap(),
                    balance,
                    "{accounts} {id} of {database}"
                );
            }
            sum += balance;
        }
    }
    assert_eq!(sum, 2 * i64::from(ACCOUNTS) * BALANCE, "{database}");
    log.len() as u64
}
