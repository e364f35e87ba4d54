//! `lifeboat convert`.

mod output;

use std::path::{Path, PathBuf};

use super::{About as _, Context, Measure, Outcome};
use crate::engines::Converted;
use crate::error::{Error, Kind, Result};
use crate::operations::convert::{Request, convert};
use crate::pipeline::progress::Progress;
use crate::reports::messages::Convert;
use crate::reports::{size, time};

use output::Output;

/// Turn an export of Neo4j into a Cypher script
///
/// The script loads into an empty database by `cypher-shell -f FILE`, without lifeboat: nodes, relationships,
/// constraints and indexes, in batches. The backup is verified on its way; FILE appears when all of it is there.
/// Backups of other engines are read by the tools of the database: docs/restore-by-hand.md.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lifeboat convert graph --output graph.cypher
  lifeboat convert graph --backup 20261124T020000Z-7f3k9q --output graph.cypher --force
  lifeboat convert graph --output - | cypher-shell -a neo4j://staging.internal -u neo4j
  lifeboat convert graph --dry-run")]
pub struct Args {
    /// The source
    source: String,

    /// The backup: its id, the beginning of its id, or `latest`
    #[arg(long, value_name = "ID", default_value = "latest")]
    backup: String,

    /// What to write
    #[arg(long, value_name = "FORMAT", default_value = "cypher", value_parser = ["cypher"])]
    format: String,

    /// The file to make, readable by its owner alone; `-` for stdout, where the last line `// end: …` says that it
    /// is whole
    #[arg(short, long, value_name = "FILE", required_unless_present = "dry_run")]
    output: Option<PathBuf>,

    /// Replace FILE if it is there
    #[arg(long)]
    force: bool,

    /// Read and verify the backup, tell how large the result would be, and write nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// Converts, and tells what was written.
pub async fn run(args: Args, context: &Context) -> Outcome {
    convert_chosen(&args, context).await.about(&args.source)
}

async fn convert_chosen(args: &Args, context: &Context) -> Result<()> {
    let to_stdout = !args.dry_run && args.output.as_deref() == Some(Path::new("-"));
    if to_stdout && context.ui.json() {
        return Err(Error::new(Kind::Usage, "--json and --output - both want stdout")
            .hint("write into a file, or leave --json out"));
    }
    let catalog = context.catalog_of_any(&args.source).await?;
    let manifest = catalog.find(&args.backup).await?;
    let engine = context.reading_engine(&manifest.engine, &args.source)?;
    let mut output = match &args.output {
        _ if args.dry_run => Output::nowhere(),
        Some(path) if !to_stdout => Output::file(path, args.force)?,
        _ => Output::stdout()?,
    };
    let begun = context.clock.now();
    let progress = Progress::default();
    progress.backup(manifest.id.as_str());
    let ui = context.ui.about(&args.source);
    let measure = Measure::Stored { of: manifest.totals.stored_bytes };
    let shown = ui.follow(&format!("convert {}", manifest.id), &progress, measure);
    let request = Request {
        catalog: &catalog,
        id: &manifest.id,
        run: &context.run,
        engine: engine.as_ref(),
        format: &args.format,
        threads: context.threads()?,
        progress: &progress,
        cancel: &context.cancel,
        clock: context.clock,
    };
    let outcome = match convert(&request, output.writer()).await {
        Ok((_, converted)) => output.finish().await.map(|()| converted),
        Err(error) => Err(error),
    };
    shown.end(outcome.is_ok());
    let converted = outcome?;
    converted.warnings.iter().for_each(|warning| ui.warn(warning));
    let message = Convert {
        source: args.source.clone(),
        id: manifest.id.to_string(),
        format: args.format.clone(),
        output: args.output.as_ref().filter(|_| !args.dry_run).map(|path| path.display().to_string()),
        rows: converted.rows,
        raw_bytes: converted.raw_bytes,
        bytes: converted.bytes,
        seconds: context.clock.now().since(begun).as_secs_f64(),
        dry_run: args.dry_run,
        warnings: converted.warnings.clone(),
    };
    let text = sentence(&message, &converted);
    match to_stdout {
        true => text.lines().for_each(|line| ui.info(line)),
        false => context.ui.result(&message, || text),
    }
    Ok(())
}

fn sentence(message: &Convert, converted: &Converted) -> String {
    let advice: String = converted.advice.iter().map(|line| format!("  {line}\n")).collect();
    let what = match &message.output {
        Some(output) => format!("converted into {output}, {}", size::bytes(message.bytes)),
        None => {
            format!("would be converted into {} (dry run, nothing was written)", size::bytes(message.bytes))
        }
    };
    format!("{} {}: {what}, {}\n{advice}", message.source, message.id, time::seconds(message.seconds))
}
