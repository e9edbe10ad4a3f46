//! The `gemini` program: see `gemini --help`, and `gemini::cli` for what the commands do.

fn main() -> std::process::ExitCode {
    gemini::cli::main()
}
