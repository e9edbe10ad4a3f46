//! Log records: a byte for the kind, then the body of its frame.

use gemini_engine::Lsn;
use gemini_engine::log::{Kind, Record, inspect};
use gemini_replication::sequencer::SequencerRecovery;
use gemini_shadow_ops::row::Context;
use gemini_shadow_ops::{Entry, RowState, ShadowTransaction, TxnId, Window, codec};

use super::sql::schema;

/// Decodes a record, shows it, and does with it what a restart does.
pub fn fuzz_log_records(bytes: &[u8]) {
    let Some((kind, body)) = bytes.split_first() else { return };
    let Some(kind) = Kind::from_byte(*kind) else { return };
    let Ok(record) = inspect::record(kind, body) else { return };
    assert!(!inspect::describe(Lsn(0), &record, true).is_empty());
    let again = inspect::body(&record).expect("it was short enough to come");
    assert_eq!(inspect::record(kind, &again).as_ref(), Ok(&record), "what is encoded decodes to it");
    match &record {
        Record::Blue { dot, transaction, .. } => apply(TxnId::Blue(*dot), transaction),
        Record::Red { r, entry, .. } => judge(*r, entry),
        Record::Sequencer(body) => {
            // Refused with an error or taken: whether the whole makes sense is for `Replica::new` to say.
            let _ = SequencerRecovery::default().record(body);
        }
        _ => {}
    }
}

/// What is parsed can be applied, to any table.
pub(super) fn apply(id: TxnId, transaction: &ShadowTransaction) {
    let bytes = codec::encode_transaction(transaction).expect("it was short enough to come");
    assert_eq!(codec::decode_transaction(&bytes).as_ref(), Ok(transaction));
    assert!(!transaction.to_string().is_empty());
    let schema = schema();
    for op in &transaction.ops {
        let named = op.op.table().and_then(|id| schema.table(id));
        let Some(table) = named.or_else(|| schema.tables.values().next()) else { return };
        let seen = &transaction.statements[usize::from(op.statement)];
        let context =
            Context { id, stamp: transaction.stamp, seen, schema_version: transaction.schema_version };
        let mut row = RowState::default();
        let mut displaced = Vec::new();
        row.apply(table, &op.op, context, &mut displaced);
        let (_, _) = (row.view(table), row.fingerprint());
    }
}

/// What is parsed gets a verdict.
pub(super) fn judge(r: u64, entry: &Entry) {
    let bytes = codec::encode_entry(entry).expect("it was short enough to come");
    assert_eq!(codec::decode_entry(&bytes).as_ref(), Ok(entry));
    assert!(!entry.to_string().is_empty());
    let mut window = Window::new(4);
    let first = window.decide(1, entry, schema());
    window.decide(2, entry, schema());
    let mut replayed = Window::new(4);
    replayed.replay(1, entry, &first);
    if let Entry::Transaction(red) = entry {
        apply(TxnId::Red(r), &red.transaction);
    }
}
