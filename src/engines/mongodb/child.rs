//! mongodump and mongorestore as children: credentials in a file that only we can read, never in arguments.

use std::io::Write as _;
use std::path::PathBuf;

use super::tools::Tool;
use super::uri::Uri;
use crate::error::{Explain as _, Kind, Result};
use crate::pipeline::child::Spec;

/// What a child gets of our environment: where to find things, and nothing else.
const PASSED: [&str; 6] = ["PATH", "HOME", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "KRB5_CONFIG"];

/// A tool that reaches this server, with these arguments.
///
/// # Errors
/// [`Kind::Failed`] when the file cannot be written.
pub fn spec(
    tool: &Tool,
    uri: &Uri,
    environment: &std::collections::BTreeMap<String, String>,
    arguments: Vec<String>,
) -> Result<Spec> {
    let under = environment.get("TMPDIR").filter(|path| !path.is_empty()).map_or("/tmp", String::as_str);
    let unwritable = || format!("cannot write the settings of {} below {under}", tool.name);
    // Its mode is 0600; it goes when the child has ended.
    let mut file = tempfile::Builder::new()
        .prefix("lifeboat-")
        .suffix(".yaml")
        .tempfile_in(under)
        .explain(Kind::Failed, unwritable)?;
    // A JSON text is a YAML text. Source: the tools' manual, `--config`.
    let text = format!("uri: {}\n", serde_json::Value::from(uri.full().expose()));
    file.write_all(text.as_bytes()).and_then(|()| file.flush()).explain(Kind::Failed, unwritable)?;
    let path: PathBuf = file.path().to_owned();
    let mut all = vec![format!("--config={}", path.display())];
    all.extend(arguments);
    let mut spec = Spec::new(&tool.path, all);
    spec.name = tool.name.clone();
    for name in PASSED {
        if let Some(value) = environment.get(name) {
            spec.environment.insert(name.to_owned(), value.clone());
        }
    }
    spec.secrets = uri.secrets();
    spec.secrets.push(uri.full());
    spec.guard = Some(Box::new(file));
    Ok(spec)
}

/// A line of the tools without its time.
pub fn message(line: &str) -> &str {
    line.split_once('\t').map_or(line, |(_, text)| text).trim()
}
