//! Making a backup: a site streams an image, which is checked and written on the way.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gemini_engine::image::{self, Header, ImageError, Summary};

use super::{BUFFER, BackupError, SUFFIX, Told, file_error, time};
use crate::config::Site;

/// A site that says nothing for so long gives no backup.
const PATIENCE: Duration = Duration::from_secs(60);

/// What an answer's head may take.
const MAX_HEAD: u64 = 16 * 1024;

/// A backup that is there.
#[derive(Clone, Debug)]
pub struct Created {
    /// Its file.
    pub path: PathBuf,
    /// What it begins with.
    pub header: Header,
    /// What it ends with.
    pub summary: Summary,
}

/// Has a running site make an image of what it has applied, and writes it to a new file in `folder`.
pub fn create(site: &Site, folder: &Path) -> Result<Created, BackupError> {
    fs::create_dir_all(folder).map_err(file_error("create", folder))?;
    let partial = folder.join(format!(".{}-{}.partial", site.name, std::process::id()));
    let made = receive(site, folder, &partial);
    if made.is_err() {
        // What was received is of no use; the error that matters is the first.
        let _ = fs::remove_file(&partial);
    }
    made
}

fn receive(site: &Site, folder: &Path, partial: &Path) -> Result<Created, BackupError> {
    let refused = |cause: String| BackupError::Site { site: site.name.clone(), cause };
    let answer = ask(site).map_err(|e| refused(e.to_string()))?.map_err(refused)?;
    let file = File::create(partial).map_err(file_error("create", partial))?;
    let mut copy = Copying { from: answer, to: BufWriter::with_capacity(BUFFER, file) };
    let mut told = Told::new("received");
    let (header, summary) =
        image::verify(&mut copy, &mut |progress| told.hear(progress)).map_err(|cause| match cause {
            ImageError::Truncated { offset } => {
                refused(format!("it broke off after {offset} bytes; its log says why"))
            }
            ImageError::Io { error, .. } => refused(error.to_string()),
            cause => BackupError::Image { path: partial.to_owned(), cause },
        })?;
    let file = copy.to.into_inner().map_err(|e| file_error("write", partial)(e.into_error()))?;
    file.sync_all().map_err(file_error("sync", partial))?;
    let name = format!(
        "{}-{}-r{}{SUFFIX}",
        time(header.origin.taken).replace(':', "-"),
        site.name,
        header.frontier.red
    );
    let path = folder.join(name);
    fs::rename(partial, &path).map_err(file_error("name", &path))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(file_error("sync", folder))?;
    Ok(Created { path, header, summary })
}

/// Asks for an image: the stream behind the answer's head, or why there is none.
fn ask(site: &Site) -> io::Result<Result<BufReader<TcpStream>, String>> {
    let mut stream = TcpStream::connect(site.http)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET /image HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", site.http)?;
    let mut answer = BufReader::with_capacity(BUFFER, stream);
    let mut head = Vec::new();
    loop {
        let line = answer.by_ref().take(MAX_HEAD).read_until(b'\n', &mut head)?;
        if line == 0 || head.len() as u64 > MAX_HEAD {
            return Ok(Err("it gives no HTTP answer".into()));
        }
        if head.ends_with(b"\r\n\r\n") {
            break;
        }
    }
    if head.starts_with(b"HTTP/1.1 200 ") {
        return Ok(Ok(answer));
    }
    let mut reason = String::new();
    answer.take(MAX_HEAD).read_to_string(&mut reason)?;
    Ok(Err(reason.trim().to_owned()))
}

/// Writes down what is read.
struct Copying<R, W> {
    from: R,
    to: W,
}

impl<R: Read, W: Write> Read for Copying<R, W> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(into)?;
        self.to.write_all(&into[..count])?;
        Ok(count)
    }
}
