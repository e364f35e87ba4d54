use lifeboat::*;
use lifeboat::engines::Engine;
use std::sync::Arc;
#[tokio::main]
async fn main() {
    if let Err(e) = go().await { eprintln!("{e:?}"); std::process::exit(1) }
}
async fn go() -> error::Result<()> {
    let a: Vec<String> = std::env::args().collect();
    let store = stores::open::open(&stores::open::StoreSpec { url: a[1].clone(), endpoint: std::env::var("S3_URL").ok(), path_style: Some(true), ..Default::default() }).await?;
    let settings = engines::Settings { endpoint: engines::Endpoint { url: a[2].as_str().into(), ..Default::default() }, lock_timeout: std::time::Duration::from_secs(10), lock_attempts: 3,
        host: engines::Host { environment: std::env::vars().collect(), threads: 2 } };
    let engine = engines::open("postgres", &settings)?;
    let progress = pipeline::progress::Progress::default();
    let catalog = catalog::Catalog::new(store.clone(), "shop")?;
    let now = chrono::Utc::now();
    let run = catalog::Run::new(now, "h", 1, "try");
    let clock = clock::Clock::start();
    let t = std::time::Instant::now();
    if a[3] == "backup" {
        let cancel = cancel::Cancel::never();
        let c = operations::backup::backup(&operations::backup::Request { catalog: &catalog, run: &run, engine: &*engine, tuning: Default::default(), lease: Default::default(), policy: None, labels: Default::default(), shrink: operations::backup::ShrinkGuard { share: 0.5, fail: false }, progress: &progress, cancel: &cancel, now, clock }).await?;
        eprintln!("{:?} {:#?}", t.elapsed(), c.manifest().totals);
        return Ok(());
    }
    let m = catalog.find("latest").await?;
    let reader = pipeline::BackupReader::open(store, catalog.keys().data(&m.id), m.objects.clone(), 2, progress.clone()).await?;
    if a[3] == "verify" {
        let i = engine.recount(&reader).await?;
        eprintln!("{:?} {:?}", t.elapsed(), reader.inventory().await?.differences(&i));
        return Ok(());
    }
    let origin = engines::Origin { server: m.server, tools: m.tools, properties: m.properties };
    let opts = engines::RestoreOptions { only: a[5..].to_vec(), ..Default::default() };
    let r = engine.restore(&reader, &origin, &engines::Target { endpoint: engines::Endpoint { url: a[4].as_str().into(), ..Default::default() }, database: None }, &opts).await?;
    eprintln!("{:?} {} {:?} {:?}", t.elapsed(), r.rows, r.phases, r.warnings);
    Ok(())
}
