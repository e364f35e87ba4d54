//! From the configuration to the plan of its manifests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::{Args, secrets, unfit};
use crate::cli::Context;
use crate::config::{Config, NO_POLICY, Origin, Source, StagingTarget};
use crate::error::{Explain as _, Kind, Result};
use crate::kubernetes::{Egress, Plan, Schedules, Settings};

/// What the API server takes into a ConfigMap, less some room for the object around it.
const CONFIG_MAP_BYTES: usize = 1_000_000;
/// Up to this many sources one pod does them one after the other.
const HANDFUL: usize = 5;

/// A kind of connection string: its scheme, the port where it names none, and whether the tool that dumps
/// takes several times the memory of lifeboat.
const SCHEMES: &[(&str, u16, bool)] = &[
    ("postgres", 5432, false),
    ("postgresql", 5432, false),
    ("mongodb", 27017, true),
    ("mongodb+srv", 27017, true),
    ("bolt", 7687, false),
    ("bolt+s", 7687, false),
    ("bolt+ssc", 7687, false),
    ("neo4j", 7687, false),
    ("neo4j+s", 7687, false),
    ("neo4j+ssc", 7687, false),
];

/// Where Neo4j's backup server listens (`server.backup.listen_address`).
const NEO4J_BACKUP: u16 = 6362;

/// The plan of the manifests.
///
/// # Errors
/// [`Kind::Config`] for what cannot be so in a cluster: no file, secrets in it, paths that cannot be mounted,
/// a store in memory.
pub(super) fn plan(args: &Args, context: &Context) -> Result<Plan> {
    let file_alone = context.config_without_environment()?;
    let Some((config, file)) = file_alone.as_ref().and_then(|config| Some((config, config.file.as_ref()?)))
    else {
        return Err(unfit(
            "there is no configuration file to put into a ConfigMap".to_owned(),
            "write lifeboat.toml, or name one with --config",
        ));
    };
    // The error that there are no sources, or that an engine does not know one.
    for source in context.sources(&[])? {
        context.reading_engine(&source.engine, &source.name)?;
    }
    let sources: Vec<&Source> = config.sources.values().collect();
    let real =
        std::path::absolute(file).explain(Kind::Config, || "there is no working directory".to_owned())?;
    let mounts = secrets::mounts(config, real.parent().unwrap_or(Path::new("/")))?;
    let text = read(file)?;
    let policies = policies(config)?;
    let bytes = text.len() + policies.values().map(String::len).sum::<usize>();
    if bytes > CONFIG_MAP_BYTES {
        return Err(unfit(
            format!("configuration and policies are {bytes} bytes, more than a ConfigMap takes (1 MiB)"),
            "split the sources into several configurations, each with a namespace of its own",
        ));
    }
    tell_what_is_left_out(context.config()?, context);
    let drills = sources.iter().any(|source| source.staging.is_some());
    if !drills {
        context.ui.warn("no source has staging: there is no CronJob for drills");
    }
    for source in sources.iter().filter(|source| needs_the_store_of_its_server(source)) {
        context.ui.about(&source.name).warn(&format!(
            "the method {} needs Neo4j's own tools, and its server's volume or much room: the CronJobs that are made here \
             have neither (k8s-cronjobs/overlays/neo4j-dump shows what they need; exports need nothing)",
            source.method.as_deref().unwrap_or_default()
        ));
    }
    let ephemeral = sources.iter().any(|source| {
        source.staging.as_ref().is_some_and(|staging| staging.target == StagingTarget::Ephemeral)
    });
    Ok(Plan {
        settings: settings(args, context, config, &sources, ephemeral),
        config: text,
        policies,
        policy_dir: config.show().iter().any(|value| value.key == "policy_dir"),
        mounts,
        store_dir: store_dir(&config.store.url)?,
        egress: egress(config, &sources),
        sources: sources.len(),
        drills,
        ephemeral,
        large_tools: sources.iter().any(|source| scheme(&source.database.url).is_some_and(|known| known.2)),
    })
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).explain(Kind::Config, || format!("cannot read {}", path.display()))
}

/// The policy files that sources use, by policy name.
fn policies(config: &Config) -> Result<BTreeMap<String, String>> {
    let mut files: BTreeSet<PathBuf> = BTreeSet::new();
    for value in config.show() {
        if let Origin::Policy(path, _) = value.origin {
            files.insert(path);
        }
    }
    let mut policies = BTreeMap::new();
    for path in files {
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        policies.insert(name, read(&path)?);
    }
    Ok(policies)
}

/// Values of the environment are in this configuration, and not in the cluster's.
fn tell_what_is_left_out(config: &Config, context: &Context) {
    let variables: BTreeSet<String> = config
        .show()
        .into_iter()
        .filter_map(|value| match value.origin {
            Origin::Env(name) => Some(name),
            _ => None,
        })
        .collect();
    if !variables.is_empty() {
        let names = variables.into_iter().collect::<Vec<_>>().join(", ");
        context.ui.warn(&format!("the manifests do not have what the environment sets here: {names}"));
    }
}

fn settings(
    args: &Args,
    context: &Context,
    config: &Config,
    sources: &[&Source],
    ephemeral: bool,
) -> Settings {
    let shards = match args.shards {
        Some(shards) => shards,
        None if sources.len() <= HANDFUL => 1,
        None => u32::try_from(sources.len().div_ceil(HANDFUL)).unwrap_or(u32::MAX).min(1000),
    };
    let drill_image = match (&args.drill_image, ephemeral) {
        (Some(image), _) => image.clone(),
        (None, true) => format!("{}-{}", args.image, servers(context, sources)),
        (None, false) => args.image.clone(),
    };
    Settings {
        namespace: args.namespace.clone(),
        image: args.image.clone(),
        drill_image,
        schedules: Schedules {
            backup: args.backup_at.clone(),
            prune: args.prune_at.clone(),
            verify: args.verify_at.clone(),
            drill: args.drill_at.clone(),
            status: args.status_at.clone(),
        },
        time_zone: args.time_zone.clone().unwrap_or_else(|| time_zone(context, sources)),
        shards,
        parallelism: args.parallelism,
        deadline: args.deadline,
        drill_volume: args.drill_volume.clone(),
        push_gateway: args
            .push_gateway
            .or_else(|| config.metrics.push.as_ref().map(|push| http_port(&push.url))),
        secret_store: args.external_secrets.clone(),
    }
}

/// Which of the images has the servers that drills start in their pods.
fn servers(context: &Context, sources: &[&Source]) -> &'static str {
    let thrown_away = |source: &&Source| {
        source.staging.as_ref().is_some_and(|staging| staging.target == StagingTarget::Ephemeral)
    };
    let is_graph = |source: &&Source| {
        let url = &source.database.url;
        url.starts_with("neo4j") || url.starts_with("bolt")
    };
    let (graphs, others): (Vec<&Source>, Vec<&Source>) =
        sources.iter().copied().filter(thrown_away).partition(is_graph);
    if !graphs.is_empty() && !others.is_empty() {
        context.ui.warn(
            "drills start servers of Neo4j and of others, which no image of lifeboat has together: \
             name one of your own by --drill-image",
        );
    }
    if others.is_empty() { "neo4j" } else { "drill" }
}

/// The zone that the policies of most sources have; UTC without policies.
fn time_zone(context: &Context, sources: &[&Source]) -> String {
    let mut zones: BTreeMap<&str, usize> = BTreeMap::new();
    for source in sources.iter().filter(|source| source.policy.name != NO_POLICY) {
        *zones.entry(source.policy.retention.timezone.name()).or_default() += 1;
    }
    let most = zones.iter().max_by_key(|(_, count)| **count).map_or("UTC", |(zone, _)| zone);
    if zones.len() > 1 {
        let names = zones.keys().copied().collect::<Vec<_>>().join(", ");
        let message = format!("policies have several time zones ({names}): jobs run by {most}");
        context.ui.warn(&format!("{message}; --time-zone chooses another"));
    }
    most.to_owned()
}

fn store_dir(url: &str) -> Result<Option<String>> {
    match url.split_once(':') {
        Some(("memory", _)) => Err(unfit(
            "a store in memory is gone with its pod".to_owned(),
            "set store.url to s3://bucket/prefix",
        )),
        Some(("file", path)) => Ok(Some(path.trim_start_matches("//").trim_end_matches('/').to_owned())),
        _ => Ok(None),
    }
}

fn egress(config: &Config, sources: &[&Source]) -> Egress {
    let staging = sources.iter().filter_map(|source| match &source.staging.as_ref()?.target {
        StagingTarget::Server(database) => Some(ports(&database.url)),
        StagingTarget::Ephemeral => None,
    });
    let store = match (&config.store.endpoint, config.store.url.starts_with("file:")) {
        (_, true) => None,
        (None, false) => Some(443),
        (Some(endpoint), false) => Some(http_port(endpoint)),
    };
    Egress {
        sources: sources
            .iter()
            .flat_map(|source| ports(&source.database.url).into_iter().chain(tool_ports(source)))
            .collect(),
        staging: staging.flatten().collect(),
        store,
        // The URLs are secrets: their ports are not known, only what is usual.
        notify: (config.notify.smtp.iter().map(|smtp| smtp.relay.port))
            .chain(config.notify.has_urls().then_some(443))
            .collect(),
    }
}

fn scheme(url: &str) -> Option<&'static (&'static str, u16, bool)> {
    let scheme = url.split_once("://")?.0;
    SCHEMES.iter().find(|(known, ..)| *known == scheme)
}

/// The ports of a connection string's hosts.
fn ports(url: &str) -> Vec<u16> {
    let usual = scheme(url).map(|(_, port, _)| *port);
    explicit_ports(url).into_iter().filter_map(|port| port.or(usual)).collect()
}

/// The port of a URL with `http` or `https`.
fn http_port(url: &str) -> u16 {
    let usual = if url.starts_with("http://") { 80 } else { 443 };
    explicit_ports(url).into_iter().flatten().next().unwrap_or(usual)
}

/// True for methods that run beside a server's files, or write a whole database to a local directory.
fn needs_the_store_of_its_server(source: &Source) -> bool {
    source.engine == "neo4j" && matches!(source.method.as_deref(), Some("dump" | "backup"))
}

/// The ports that a method's tool speaks to besides: Neo4j's backup server.
fn tool_ports(source: &Source) -> Vec<u16> {
    if source.method.as_deref() != Some("backup") || source.engine != "neo4j" {
        return Vec::new();
    }
    backup_ports(source.options.get("backup_from").and_then(toml::Value::as_str).unwrap_or_default())
}

/// The ports of `options.backup_from`: hosts with or without one, by commas.
fn backup_ports(hosts: &str) -> Vec<u16> {
    explicit_ports(hosts).into_iter().map(|port| port.unwrap_or(NEO4J_BACKUP)).collect()
}

/// For each host of a URL its port, where it has one.
fn explicit_ports(url: &str) -> Vec<Option<u16>> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    let port = |host: &str| host.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    hosts.split(',').map(|host| if host.ends_with(']') { None } else { port(host) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_of_a_connection_string_has_a_port() {
        let of = |url: &str| ports(url);
        assert_eq!(of("postgres://u@db.internal/orders"), [5432]);
        assert_eq!(of("mongodb://u@a:27018,b/?replicaSet=rs0"), [27018, 27017]);
        assert_eq!(of("mongodb+srv://cluster.example.com/"), [27017]);
        for scheme in
            ["bolt", "neo4j"].iter().flat_map(|name| ["", "+s", "+ssc"].map(|end| format!("{name}{end}")))
        {
            assert_eq!(of(&format!("{scheme}://u@graph/neo4j?tlsCAFile=/x")), [7687], "{scheme}");
        }
        assert_eq!(of("neo4j+s://u@graph:7688/neo4j"), [7688]);
        assert_eq!(of("postgres://u@[::1]:5433/x"), [5433]);
        assert_eq!(of("postgres://u@[::1]/x"), [5432]);
    }

    #[test]
    fn a_web_server_has_a_port() {
        assert_eq!(http_port("http://push.monitoring:9091/gateway"), 9091);
        assert_eq!(http_port("http://push.monitoring"), 80);
        assert_eq!(http_port("https://push.example.com/gateway"), 443);
    }

    #[test]
    fn a_backup_server_has_a_port_of_its_own() {
        for (hosts, expected) in [("", vec![6362]), ("a:6000,b", vec![6000, 6362])] {
            assert_eq!(backup_ports(hosts), expected);
        }
    }

    #[test]
    fn a_store_in_a_directory_is_a_volume() {
        assert_eq!(store_dir("file:///var/backups/").unwrap().as_deref(), Some("/var/backups"));
        assert_eq!(store_dir("s3://bucket/x").unwrap(), None);
        assert!(store_dir("memory:").is_err());
    }
}
