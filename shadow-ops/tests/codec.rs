//! Golden bytes and text, and what damaged bytes answer.

mod common;

use common::*;
use gemini_shadow_ops::codec::*;
use gemini_shadow_ops::*;

fn example() -> ShadowTransaction {
    let mut seen = Frontier::default();
    seen.set_blue(SiteId(1), 3);
    seen.red = 7;
    let key = Key([0x81, 0x05].into());
    let table = TableId(5);
    let op = |op| ShadowOp { statement: 0, op };
    ShadowTransaction {
        origin: SiteId(1),
        statements: vec![seen.clone()],
        deps: seen,
        stamp: stamp(250, 1),
        schema_version: 7,
        ops: vec![
            op(Op::Delete { table, key: key.clone(), of: vec![BORN, TxnId::Red(2)] }),
            op(Op::Insert {
                table,
                key: key.clone(),
                values: [Value::Int4(5), Value::text("it's"), Value::Null].into(),
            }),
            op(Op::Update {
                table,
                key: key.clone(),
                of: vec![BORN],
                cells: vec![
                    (ColumnId(1), Write::Set(Value::text("oak"))),
                    (ColumnId(2), add(-3)),
                    (ColumnId(3), Write::Max(Value::Bool(true))),
                    (ColumnId(4), bounded(9)),
                ],
            }),
            op(Op::Rights { table, key, of: None, moves: moves() }),
        ],
    }
}

fn moves() -> Vec<Move> {
    let entry = EntryId { site: SiteId(1), start: 2, counter: 9 };
    let (column, amount) = (ColumnId(4), Value::Int8(2));
    vec![
        Move::Gift { column, side: BoundSide::AtLeast, to: SiteId(3), amount: amount.clone() },
        Move::Reserve { column, side: BoundSide::AtMost, entry, amount },
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn golden_bytes() {
    let bytes = encode_transaction(&example()).unwrap();
    assert_eq!(hex(&bytes), GOLDEN_TRANSACTION);
    assert_eq!(decode_transaction(&bytes).unwrap(), example());
    let void = encode_entry(&Entry::Void {
        id: EntryId { site: SiteId(2), start: 3, counter: 300 },
        base: 7,
        deps: Frontier::default(),
        reserved: vec![(TableId(5), Key([1, 2].into()))],
    })
    .unwrap();
    assert_eq!(hex(&void), GOLDEN_VOID);
    let red = Entry::Transaction(RedTransaction {
        id: EntryId { site: SiteId(1), start: 1, counter: 1 },
        transaction: example().into(),
        footprint: Footprint {
            reads: vec![Read { statement: 0, item: Item::Catalogue }],
            writes: vec![Item::Sequence { sequence: SequenceId(4) }],
        },
        tables: vec![(TableId(5), 6)],
    });
    let bytes = encode_entry(&red).unwrap();
    assert_eq!(decode_entry(&bytes).unwrap(), red);
    assert!(hex(&bytes).ends_with(GOLDEN_RED_TAIL), "{}", hex(&bytes));
}

const GOLDEN_TRANSACTION: &str = "0260000000a4968e340101010101030701010307fa010001070400020502810502000101010200000502810503030a080469742773000001050281050100010104010008036f616b02010305030201010404031200040502810500020004000304040104010102090404";
const GOLDEN_VOID: &str = "020d000000a1dd4d0502010203ac020700000105020102";
const GOLDEN_RED_TAIL: &str = "010005010604010506";

#[test]
fn golden_text() {
    let text = example().to_string();
    let expected = "site 1 seen (1:3; 7) deps (1:3; 7) stamp 250+0@1 v7 { \
        0 delete t5[8105] of b1.1,r2; 0 insert t5[8105] (5, 'it''s', NULL); \
        0 update t5[8105] of b1.1 c1:='oak', c2+=-3, c3 max= true, c4±=9; \
        0 rights t5[8105] gift c4 AtLeast 2 to 3, reserve c4 AtMost 2 for 1-2-9 }";
    assert_eq!(text, expected);
}

#[test]
fn damaged_bytes() {
    let good = encode_transaction(&example()).unwrap();
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << bit;
            assert!(decode_transaction(&bytes).is_err(), "byte {at} bit {bit}");
        }
        assert!(decode_transaction(&good[..at]).is_err());
    }
    let mut longer = good.clone();
    longer.push(0);
    assert!(matches!(decode_transaction(&longer), Err(CodecError::Length { .. })));
    assert!(matches!(decode_entry(&good), Err(CodecError::Kind { expected: 2, found: 1 })));
    let mut huge = good;
    huge[1..5].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(decode_transaction(&huge), Err(CodecError::TooLong(_))));
}

/// What could not be applied is not parsed, whatever its checksum says.
#[test]
fn malformed_transactions() {
    let parse = |change: fn(&mut ShadowTransaction)| {
        let mut transaction = example();
        change(&mut transaction);
        decode_transaction(&encode_transaction(&transaction).unwrap())
    };
    assert!(parse(|_| {}).is_ok());
    assert!(parse(|t| t.statements.clear()).is_err());
    assert!(parse(|t| t.ops[1].statement = 1).is_err());
    assert!(
        parse(|t| t.ops[0].op = Op::Delete { table: TableId(5), key: Key([].into()), of: vec![] }).is_err()
    );
    assert!(
        parse(|t| {
            let of = vec![TxnId::Red(2), BORN];
            t.ops[0].op = Op::Delete { table: TableId(5), key: Key([].into()), of };
        })
        .is_err()
    );
    assert!(
        parse(|t| {
            if let Op::Rights { moves, .. } = &mut t.ops[3].op {
                moves.clear();
            }
        })
        .is_err()
    );
    assert!(
        parse(|t| {
            if let Op::Rights { moves, .. } = &mut t.ops[3].op {
                moves.push(Move::Return { entry: EntryId { site: SiteId(1), start: 2, counter: 9 } });
            }
        })
        .is_err(),
        "only the order returns"
    );
    assert!(
        parse(|t| {
            if let Op::Update { cells, .. } = &mut t.ops[2].op {
                cells.reverse();
            }
        })
        .is_err()
    );
}

#[test]
fn golden_bytes_of_sets_and_flags() {
    let bytes = |write: &Write| hex(&postcard::to_allocvec(write).unwrap());
    let elements = Write::Elements { remove: vec![Value::Int4(1)], add: vec![Value::text("a")] };
    assert_eq!(bytes(&elements), "0501030201080161");
    assert_eq!(bytes(&Write::EnableWins(true)), "0601");
    assert_eq!(bytes(&Write::DisableWins(false)), "0700");
    let rules = [MergeRule::AddWinsSet, MergeRule::EnableWins, MergeRule::DisableWins];
    assert_eq!(hex(&postcard::to_allocvec(&rules).unwrap()), "050607");
}

#[test]
fn elements_stand_in_order_or_are_no_effect() {
    let with = |add: Vec<Value>| {
        let mut transaction = example();
        for ShadowOp { op, .. } in &mut transaction.ops {
            if let Op::Update { cells, .. } = op {
                cells.push((ColumnId(5), Write::Elements { remove: vec![], add: add.clone() }));
            }
        }
        decode_transaction(&encode_transaction(&transaction).unwrap())
    };
    assert!(with(vec![Value::Int4(1), Value::Int4(2)]).is_ok());
    for wrong in [[2, 1], [1, 1]] {
        assert!(with(wrong.map(Value::Int4).to_vec()).is_err());
    }
    assert!(with(vec![Value::Null]).is_err());
}
