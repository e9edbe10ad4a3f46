//! Rights on a model: three sites that spend, restock, give and reserve what they have, hear of each other late and in any order that
//! causality allows, and decide red entries each at its own time.
//!
//! At every frontier of every site: the rights of all sites and the reservations sum up to the slack; nobody's are below zero, so the
//! bound holds; they are what a ledger says that books every creation, spend, gift and reservation by itself; and in the
//! end all rows are the same, byte for byte.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use std::collections::BTreeMap;

use common::*;
use gemini_shadow_ops::row::Context;
use gemini_shadow_ops::value::key::primary_key;
use gemini_shadow_ops::*;
use proptest::prelude::*;

const STOCK: ColumnId = ColumnId(1);
const SITES: u16 = 3;
/// `stock` is between 0 and this.
const MOST: i64 = 20;
const BOUNDS: [BoundSide; 2] = [BoundSide::AtLeast, BoundSide::AtMost];

fn item() -> Table {
    let t = table(10, "item")
        .rows(RowRule::AppendOnly)
        .minted()
        .col("stock", MergeRule::Delta)
        .bound(1, BoundSide::AtLeast, 0)
        .bound(1, BoundSide::AtMost, MOST as i32);
    t.table
}

fn at_row() -> Key {
    primary_key(&item(), &row(&[1, 0]))
}

/// One transaction: what it does to the one row.
#[derive(Clone, Debug)]
struct Event {
    id: TxnId,
    /// Its stamp's time.
    at: u64,
    site: SiteId,
    deps: Frontier,
    ops: Vec<Op>,
    /// A red one: what it reserved, and whether the order takes it. A VOID has no effects.
    entry: Option<(EntryId, bool)>,
}

/// Accounts by hand: what each site may spend towards each bound, and what is put aside.
#[derive(Clone, Debug, Default, PartialEq)]
struct Ledger {
    rights: BTreeMap<(SiteId, BoundSide), i64>,
    reserved: BTreeMap<(EntryId, BoundSide), i64>,
}

impl Ledger {
    fn book(&mut self, event: &Event) {
        if let Some((entry, accepted)) = event.entry {
            for side in BOUNDS {
                let back = self.reserved.remove(&(entry, side)).unwrap_or(0);
                *self.rights.entry((entry.site, side)).or_default() += back;
            }
            if !accepted {
                return;
            }
        }
        for op in &event.ops {
            match op {
                Op::Insert { values, .. } => {
                    let stock = values[1].as_i64().unwrap();
                    self.rights.insert((event.site, BoundSide::AtLeast), stock);
                    self.rights.insert((event.site, BoundSide::AtMost), MOST - stock);
                }
                Op::Update { cells, .. } => {
                    let (_, Write::Bounded(by)) = &cells[0] else { panic!("a bounded addition") };
                    let by = by.as_i64().unwrap();
                    *self.rights.entry((event.site, BoundSide::AtLeast)).or_default() += by;
                    *self.rights.entry((event.site, BoundSide::AtMost)).or_default() -= by;
                }
                Op::Rights { moves, .. } => moves.iter().for_each(|m| self.move_rights(event.site, m)),
                other => panic!("{other:?}"),
            }
        }
    }

    fn move_rights(&mut self, from: SiteId, movement: &Move) {
        let (side, amount) = match movement {
            Move::Gift { side, to, amount, .. } => {
                *self.rights.entry((*to, *side)).or_default() += amount.as_i64().unwrap();
                (side, amount)
            }
            Move::Reserve { side, entry, amount, .. } => {
                *self.reserved.entry((*entry, *side)).or_default() += amount.as_i64().unwrap();
                (side, amount)
            }
            Move::Return { .. } => panic!("a return is no part of a transaction"),
        };
        *self.rights.entry((from, *side)).or_default() -= amount.as_i64().unwrap();
    }
}

/// One site: the row, what it has applied, and the ledger of that.
#[derive(Clone, Debug, Default)]
struct Site {
    row: RowState,
    applied: Frontier,
    ledger: Ledger,
}

impl Site {
    fn apply(&mut self, table: &Table, event: &Event) {
        let context =
            |id| Context { id, stamp: stamp(event.at, event.site.0), seen: &event.deps, schema_version: 1 };
        if let Some((entry, _)) = event.entry {
            let of = self.row.incarnations.first().map(|i| i.id);
            let op = Op::Rights { table: table.id, key: at_row(), of, moves: vec![Move::Return { entry }] };
            self.row.apply(table, &op, context(event.id), &mut Vec::new());
        }
        if event.entry.is_none_or(|(_, accepted)| accepted) {
            for op in &event.ops {
                self.row.apply(table, op, context(event.id), &mut Vec::new());
            }
        }
        self.applied.add(event.id);
        self.ledger.book(event);
    }

    fn rights(&self, table: &Table, side: BoundSide, site: SiteId) -> i64 {
        let row = &self.row.incarnations[0];
        row.rights_of(table, STOCK, side, site).unwrap().as_i64().unwrap()
    }

    fn check(&self, table: &Table) -> Result<(), TestCaseError> {
        let Some(row) = self.row.incarnations.first() else { return Ok(()) };
        for side in BOUNDS {
            let mut sum = row.reserved(table, STOCK, side).as_i64().unwrap();
            for site in (1..=SITES).map(SiteId) {
                let rights = self.rights(table, side, site);
                prop_assert!(rights >= 0, "site {} has {} towards {:?}", site, rights, side);
                let booked = self.ledger.rights.get(&(site, side)).copied().unwrap_or(0);
                prop_assert_eq!(rights, booked, "site {} towards {:?}", site, side);
                sum += rights;
            }
            prop_assert_eq!(sum, row.slack(table, STOCK, side).unwrap().as_i64().unwrap());
        }
        Ok(())
    }
}

/// What a site may do next.
#[derive(Clone, Debug)]
enum Act {
    /// Adds this to the stock, if its rights cover it.
    Add(u16, i64),
    Give(u16, u16, BoundSide, i64),
    /// Puts rights aside for a sale, which is proposed; the flag: whether the order accepts it.
    Order(u16, i64, bool),
    /// Hears of the next transaction of another site that it can apply, or of the next red one.
    Hear(u16, u16),
}

fn act() -> impl Strategy<Value = Act> {
    let site = || 1..=SITES;
    let side = prop_oneof![Just(BoundSide::AtLeast), Just(BoundSide::AtMost)];
    prop_oneof![
        3 => (site(), -6i64..7).prop_map(|(s, by)| Act::Add(s, by)),
        2 => (site(), site(), side, 1i64..6).prop_map(|(a, b, side, n)| Act::Give(a, b, side, n)),
        1 => (site(), 1i64..5, any::<bool>()).prop_map(|(s, n, yes)| Act::Order(s, n, yes)),
        5 => (site(), 0..=SITES).prop_map(|(s, of)| Act::Hear(s, of)),
    ]
}

struct World {
    table: Table,
    sites: BTreeMap<SiteId, Site>,
    blue: BTreeMap<Dot, Event>,
    red: Vec<Event>,
    entries: u64,
    time: u64,
}

impl World {
    fn new(stock: i64) -> World {
        let sites = (1..=SITES).map(|site| (SiteId(site), Site::default())).collect();
        let mut world =
            World { table: item(), sites, blue: BTreeMap::new(), red: vec![], entries: 0, time: 0 };
        let values = row(&[1, stock as i32]);
        world.commit(SiteId(1), vec![Op::Insert { table: world.table.id, key: at_row(), values }]);
        world
    }

    fn commit(&mut self, site: SiteId, ops: Vec<Op>) {
        self.time += 1;
        let own = self.sites.get_mut(&site).unwrap();
        let dot = Dot { site, n: own.applied.blue(site) + 1 };
        let event =
            Event { id: TxnId::Blue(dot), at: self.time, site, deps: own.applied.clone(), ops, entry: None };
        own.apply(&self.table, &event);
        self.blue.insert(dot, event);
    }

    fn rights_op(&self, movement: Move) -> Op {
        Op::Rights { table: self.table.id, key: at_row(), of: self.born(), moves: vec![movement] }
    }

    fn born(&self) -> Option<TxnId> {
        Some(TxnId::Blue(Dot { site: SiteId(1), n: 1 }))
    }

    fn add(&self, by: i64) -> Op {
        let cells = vec![(STOCK, Write::Bounded(Value::Int4(by as i32)))];
        Op::Update { table: self.table.id, key: at_row(), of: self.born().into_iter().collect(), cells }
    }

    fn act(&mut self, act: &Act) {
        let has = |world: &World, site: u16, side| {
            let own = &world.sites[&SiteId(site)];
            if own.row.incarnations.is_empty() { -1 } else { own.rights(&world.table, side, SiteId(site)) }
        };
        match *act {
            Act::Add(site, by) => {
                let side = if by < 0 { BoundSide::AtLeast } else { BoundSide::AtMost };
                if has(self, site, side) >= by.abs() {
                    self.commit(SiteId(site), vec![self.add(by)]);
                }
            }
            Act::Give(from, to, side, amount) => {
                if from != to && has(self, from, side) >= amount {
                    let amount = Value::Int8(amount);
                    let gift = Move::Gift { column: STOCK, side, to: SiteId(to), amount };
                    self.commit(SiteId(from), vec![self.rights_op(gift)]);
                }
            }
            Act::Order(site, amount, accepted) => {
                if has(self, site, BoundSide::AtLeast) >= amount {
                    self.order(SiteId(site), amount, accepted);
                }
            }
            Act::Hear(site, 0) => {
                let next = self.sites[&SiteId(site)].applied.red as usize;
                if let Some(event) = self.red.get(next).cloned() {
                    self.hear(SiteId(site), &event);
                }
            }
            Act::Hear(site, of) => {
                let n = self.sites[&SiteId(site)].applied.blue(SiteId(of)) + 1;
                if let Some(event) = self.blue.get(&Dot { site: SiteId(of), n }).cloned() {
                    self.hear(SiteId(site), &event);
                }
            }
        }
    }

    fn order(&mut self, site: SiteId, amount: i64, accepted: bool) {
        self.entries += 1;
        let entry = EntryId { site, start: 1, counter: self.entries };
        let put_aside =
            Move::Reserve { column: STOCK, side: BoundSide::AtLeast, entry, amount: Value::Int8(amount) };
        self.commit(site, vec![self.rights_op(put_aside)]);
        let deps = self.sites[&site].applied.clone();
        let id = TxnId::Red(self.red.len() as u64 + 1);
        let ops = vec![self.add(-amount)];
        self.time += 1;
        self.red.push(Event { id, at: self.time, site, deps, ops, entry: Some((entry, accepted)) });
    }

    /// Applies what can be applied.
    fn hear(&mut self, site: SiteId, event: &Event) {
        let own = self.sites.get_mut(&site).unwrap();
        // A red one waits for its blue dependencies; that it follows the earlier red ones is its place.
        let ready = match event.id {
            TxnId::Blue(_) => own.applied.includes(&event.deps),
            TxnId::Red(_) => event.deps.blues().all(|(s, n)| own.applied.blue(s) >= n),
        };
        if ready && !own.applied.covers(event.id) {
            own.apply(&self.table, event);
        }
    }

    fn settle(&mut self) {
        loop {
            let before: Vec<Frontier> = self.sites.values().map(|s| s.applied.clone()).collect();
            for site in 1..=SITES {
                for of in 0..=SITES {
                    self.act(&Act::Hear(site, of));
                }
            }
            if before == self.sites.values().map(|s| s.applied.clone()).collect::<Vec<_>>() {
                return;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn rights_are_conserved(stock in 0i64..=MOST, acts in proptest::collection::vec(act(), 1..80)) {
        let mut world = World::new(stock);
        for act in &acts {
            world.act(act);
            for site in world.sites.values() {
                site.check(&world.table)?;
            }
        }
        world.settle();
        let first = &world.sites[&SiteId(1)];
        for site in world.sites.values() {
            site.check(&world.table)?;
            prop_assert_eq!(&site.applied, &first.applied);
            prop_assert_eq!(&site.row, &first.row);
            prop_assert!(site.ledger.reserved.is_empty(), "all entries are decided");
        }
    }
}

/// What is created is shared out among all members, and what cannot be divided stays with its creator.
#[test]
fn creation_shares_out() {
    let table = item();
    let schema = {
        let mut schema = Schema::default();
        schema.apply(&SchemaChange::CreateTable(table.clone()), 1);
        schema
    };
    let members = [SiteId(1), SiteId(2), SiteId(3)];
    let insert = Op::Insert { table: table.id, key: at_row(), values: row(&[1, 8]) };
    let made = ShadowOp { statement: 0, op: insert };
    let mut ops = vec![made];
    ops.extend(rights::shared_out(&schema, &ops, SiteId(2), &members));
    let mut state = RowState::default();
    let born = TxnId::Red(4);
    for op in &ops {
        let context = Context { id: born, stamp: stamp(1, 2), seen: &Frontier::default(), schema_version: 1 };
        state.apply(&table, &op.op, context, &mut Vec::new());
    }
    let row = state.incarnation(born).unwrap();
    let rights = |side| members.map(|s| row.rights_of(&table, STOCK, side, s).unwrap().as_i64().unwrap());
    assert_eq!(rights(BoundSide::AtLeast), [2, 4, 2]);
    assert_eq!(rights(BoundSide::AtMost), [4, 4, 4]);
    // A bound that is gone is no slack; of two to one side the tighter counts.
    let mut loose = table.clone();
    loose.checks[0].bounds.clear();
    assert_eq!(row.rights_of(&loose, STOCK, BoundSide::AtLeast, SiteId(2)), None);
    let mut tight = table.clone();
    let bound = Bound { column: STOCK, side: BoundSide::AtLeast, limit: Value::Int4(3) };
    tight.checks[0].bounds.push(bound);
    assert_eq!(row.rights_of(&tight, STOCK, BoundSide::AtLeast, SiteId(2)), Some(Value::Int8(1)));
}
