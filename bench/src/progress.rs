//! A progress bar on a terminal; a line now and then where there is none.

use std::io::{IsTerminal, Write};

/// One thing that is under way.
#[derive(Debug)]
pub struct Bar {
    title: String,
    terminal: bool,
    /// Tenths already told, where there is no terminal.
    told: u64,
    width: usize,
    open: bool,
}

impl Bar {
    /// Named so.
    pub fn new(title: impl Into<String>) -> Bar {
        let terminal = std::io::stderr().is_terminal();
        Bar { title: title.into(), terminal, told: 0, width: 0, open: false }
    }

    /// So much is done, from 0 to 1.
    pub fn set(&mut self, share: f64, note: &str) {
        let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
        if self.terminal {
            self.draw(&line(&self.title, share, note));
        } else {
            let tenths = (share * 5.0) as u64;
            if tenths > self.told {
                self.told = tenths;
                eprintln!("{:<12}{:>3.0} %  {note}", self.title, share * 100.0);
            }
        }
    }

    fn draw(&mut self, line: &str) {
        let length = line.chars().count();
        let clear = " ".repeat(self.width.saturating_sub(length));
        self.width = length;
        self.open = true;
        let mut out = std::io::stderr().lock();
        // A terminal that is gone is no reason to stop the work.
        let _ = write!(out, "\r{line}{clear}").and_then(|()| out.flush());
    }

    /// It is done.
    pub fn finish(&mut self, note: &str) {
        if self.terminal {
            self.draw(&line(&self.title, 1.0, note));
            eprintln!();
            self.open = false;
        } else {
            eprintln!("{:<12}done   {note}", self.title);
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if self.open {
            eprintln!();
        }
    }
}

fn line(title: &str, share: f64, note: &str) -> String {
    const WIDTH: usize = 30;
    let full = (share * WIDTH as f64).round() as usize;
    format!("{title:<12}[{}{}] {:>3.0} %  {note}", "█".repeat(full), "·".repeat(WIDTH - full), share * 100.0)
}
