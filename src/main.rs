//! The lifeboat command: parse, run, exit code.

use std::process::ExitCode;

use lifeboat::cli;

fn main() -> ExitCode {
    let cli = match cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(code) => return ExitCode::from(code),
    };
    if cli::init::is_needed() {
        let code = cli::init::run();
        return ExitCode::from(code.unwrap_or_else(|error| cli.cannot("run as process 1", error)));
    }
    if let Err(error) = cli::init::unblock_signals() {
        return ExitCode::from(cli.cannot("unblock signals", error));
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return ExitCode::from(cli.cannot("start threads", error)),
    };
    let code = runtime.block_on(cli::run(cli));
    // What still runs after a second signal is not waited for.
    runtime.shutdown_background();
    ExitCode::from(code)
}
