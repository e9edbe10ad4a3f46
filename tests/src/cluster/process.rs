//! A child process that cannot outlive its test: killed when it is dropped, also by a panic, and killed by a
//! watchdog when the test's own process is (kill -9, a time limit, Ctrl-C).
//!
//! The watchdog is a shell that waits for the end of a pipe whose other end only the test's process holds. Nothing
//! has to be asked of the operating system that is not in the standard library.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::wait::patiently;

/// A running child whose output goes to a file.
#[derive(Debug)]
pub struct Process {
    child: Child,
    watchdog: Child,
    /// Where its output goes.
    pub log: PathBuf,
}

impl Process {
    /// Starts `program` with its output appended to `log`.
    pub fn start(program: &Path, arguments: &[&str], log: &Path) -> Process {
        Process::start_apart(program, arguments, log, log)
    }

    /// Starts `program` with its output and its errors in files.
    pub fn start_apart(program: &Path, arguments: &[&str], log: &Path, errors: &Path) -> Process {
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(append(log))
            .stderr(append(errors))
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {}: {e}", program.display()));
        let script = format!("read nothing; kill -9 {} 2>/dev/null", child.id());
        let watchdog = Command::new("sh")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start a watchdog: {e}"));
        Process { child, watchdog, log: log.to_owned() }
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap_or_else(|e| panic!("cannot ask for a child's end: {e}"))
    }

    /// Ends it with no chance to say anything.
    pub fn kill(mut self) {
        self.end();
    }

    /// Sends SIGTERM and waits for the end.
    pub fn terminate(mut self) -> ExitStatus {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(asked.is_ok_and(|status| status.success()), "cannot send SIGTERM to {}", self.child.id());
        self.wait("its end after SIGTERM")
    }

    /// Waits for the end.
    pub fn wait(&mut self, what: &str) -> ExitStatus {
        patiently(Duration::from_secs(40), || self.ended())
            .unwrap_or_else(|| panic!("waited in vain for {what} ({})", self.log.display()))
    }

    fn end(&mut self) {
        // The watchdog first: after the child is reaped its number may be somebody else's.
        let _ = self.watchdog.kill();
        let _ = self.watchdog.wait();
        // An error means that it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

fn append(path: &Path) -> File {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()))
}
