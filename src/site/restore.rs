//! Restoring: a site of a fresh cluster, made from an image of another one.
//!
//! The new cluster has a name of its own and goes on where the image ends. Everything that must be used once stays used once:
//!
//! | what | in the new cluster |
//! |---|---|
//! | dots | each site counts on from the image's frontier; a site that the old cluster did not have begins at 1 |
//! | red indices | go on after the image's; the sequencer's log begins empty behind it |
//! | stamps | above the greatest one logged where the image was made |
//! | entry ids | start counts begin above those of the image's window, and with the seconds since 1970: a cluster starts less often |
//! | minted values | above every value of the class in the image's minting columns, and above what the image's site had reserved |
//! | certification window | the image's, so verdicts and the outcomes of old ids are known |
//!
//! So `b1.7` in a restored row can only be the old cluster's. What the old cluster did after the image's moment may bear the names
//! that the new one gives now; both clusters must never meet. Peers compare the cluster's id mixed with the image's checksum
//! (`Identity::lineage`): sites restored from different images, or one restored and one not, refuse each other.
//!
//! ```text
//!   log     begins at 4096, not at 0: it does not reach back to the beginning, so a lost store is never rebuilt as an empty one
//!           │ Sequencer: empty, red index r │ ← replay from here
//!   store   the image's rows and index entries; manifest last
//! ```

use std::collections::BTreeMap;
use std::io::Read;

use gemini_engine::image::{Chunk, Header, ImageError, ImageReader, Installer, Place, Summary, Watch};
use gemini_engine::log::{Log, LogOptions};
use gemini_engine::{Disk, Lsn, Record, Store};
use gemini_replication::sequencer;
use gemini_shadow_ops::{Members, Minting, SequenceId, Value};

use super::image::Carried;
use super::open::{Common, Identity, Kept, OpenError, Own, write_kept};
use super::{MintingClass, Options};

/// Where the log of a restored site begins.
pub(super) const BEGIN: Lsn = Lsn(4096);

/// Why a site cannot be restored.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum RestoreError {
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error(transparent)]
    Engine(#[from] gemini_engine::Error),
    #[error(transparent)]
    State(#[from] OpenError),
    /// sites.toml says what the image cannot become.
    #[error("{0}")]
    Unfit(String),
}

impl From<gemini_engine::log::LogError> for RestoreError {
    fn from(error: gemini_engine::log::LogError) -> RestoreError {
        RestoreError::Engine(error.into())
    }
}

/// Fills an empty `disk` and an empty `store` with what the site of these options needs to begin where the image ends. Durable
/// when it returns; after an error both are to be thrown away. `now` is in µs.
pub fn restore<R: Read>(
    now: u64,
    options: &Options,
    image: &mut ImageReader<R>,
    disk: &dyn Disk,
    store: &dyn Store,
    watch: &mut Watch<'_>,
) -> Result<Summary, RestoreError> {
    let carried = Carried::read(&image.header().origin.state)?;
    fits(options, &carried)?;
    if carried.common.window.last() != image.header().frontier.red {
        return Err(OpenError::Record("image: window and frontier are of different moments".into()).into());
    }
    let mut bounds = Bounds::new(options.minting, carried.minted);
    let replay_from = begin_log(options, image.header().frontier.red, disk)?;
    let installer = Installer::begin(store, Place { replay_from, needs: replay_from }, watch)?;
    while let Some(chunk) = image.next_chunk()? {
        bounds.see(image.header(), &chunk);
        installer.put(image.header(), &chunk)?;
        if watch(image.progress()).is_break() {
            return Err(ImageError::Cancelled.into());
        }
    }
    let checksum = image.summary().map_or(0, |summary| summary.checksum);
    let used = carried.common.window.statuses().map(|(id, _)| id.start);
    let own = Own {
        start: used.chain([carried.start, now / 1_000_000]).max().unwrap_or(0),
        identity: Identity { lineage: checksum, ..Identity::asked(options) },
        logged: image.header().frontier.clone(),
        minted: bounds.found,
        incarnations: BTreeMap::new(),
        removed: None,
    };
    // The old cluster's members are no members of the new one.
    let members = Members::first(options.first.clone()).since(image.header().frontier.red);
    let state = write_kept(&Kept { own, common: Common { members, ..carried.common } });
    Ok(installer.finish(image, state)?)
}

/// Constants of a cluster cannot change on the way.
fn fits(options: &Options, carried: &Carried) -> Result<(), RestoreError> {
    let constant = |what: &str, theirs: u64, ours: u64| match theirs == ours {
        true => Ok(()),
        false => Err(RestoreError::Unfit(format!(
            "the backup's cluster has {what} {theirs}, this one {ours}: give the new cluster the same"
        ))),
    };
    constant("minting_classes", carried.classes.into(), options.minting.classes.into())?;
    constant("a certification window of", carried.common.window.capacity(), options.window)
}

/// A log that begins with an empty sequencer at red index `r`; gives its end.
fn begin_log(options: &Options, r: u64, disk: &dyn Disk) -> Result<Lsn, RestoreError> {
    let options = LogOptions { begin: BEGIN, ..options.engine.log.clone() };
    let (mut log, opened) = Log::open(&options, disk)?;
    if !opened.created {
        return Err(RestoreError::Unfit("there is a log already".into()));
    }
    log.append(&Record::Sequencer(sequencer::beginning(r)))?;
    while let Some(mut batch) = log.take_batch() {
        batch.write(disk)?;
    }
    Ok(log.durable())
}

/// What a class must not mint again.
struct Bounds {
    class: MintingClass,
    found: BTreeMap<SequenceId, u64>,
}

impl Bounds {
    /// Beginning with what the image's own site had reserved: its class needs that, the others lose nothing but values.
    fn new(class: MintingClass, found: BTreeMap<SequenceId, u64>) -> Bounds {
        Bounds { class, found }
    }

    /// Every value of the class that stands in a column that mints, in ended incarnations too.
    fn see(&mut self, header: &Header, chunk: &Chunk) {
        let Some(table) = header.schema.tables.get(&chunk.table) else { return };
        for column in &table.columns {
            let Some(Minting::Sequence(id)) = column.minting else { continue };
            let Some(sequence) = header.schema.sequences.get(&id) else { continue };
            let slot = usize::from(column.id.0);
            let values = chunk.rows.iter().flat_map(|(_, state)| &state.incarnations);
            let used = values.filter_map(|i| integer(i.values.get(slot)?));
            let next =
                used.filter_map(|value| self.class.counter(sequence, value)).max().map_or(0, |k| k + 1);
            let bound = self.found.entry(id).or_default();
            *bound = next.max(*bound);
        }
    }
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Int2(n) => Some(i64::from(*n)),
        Value::Int4(n) => Some(i64::from(*n)),
        Value::Int8(n) => Some(*n),
        _ => None,
    }
}
