//! The program `runbook`.

fn main() -> std::process::ExitCode {
    runbook::cli::main()
}
