//! Rights are conserved (DESIGN §6): at every frontier of every site, for every bound of every row, the rights of all sites are what a
//! ledger says that books each creation, spend, gift and reservation by itself; none is below zero; and together with
//! what is put aside they are the slack.

use std::collections::{BTreeMap, BTreeSet};

use gemini::site::Site;
use gemini_shadow_ops::rights::SIDES;
use gemini_shadow_ops::{
    BoundSide, ColumnId, Entry, EntryId, Frontier, Incarnation, Key, Move, Op, Schema, ShadowTransaction,
    SiteId, Table, TableId, TxnId, Verdict, Write,
};
use gemini_shadow_ops::{Members, Refusal};

use super::history::{History, News};
use super::invariants::number;

/// An incarnation's column.
type Cell = (TableId, Key, TxnId, ColumnId);

/// The books of one site.
#[derive(Debug, Default)]
pub(super) struct Rights {
    accounts: BTreeMap<Cell, Account>,
    /// What is put aside for entries that are not decided here.
    reserved: BTreeMap<EntryId, Vec<(Cell, BoundSide, i128)>>,
}

#[derive(Debug, Default)]
struct Account {
    rights: BTreeMap<(BoundSide, SiteId), i128>,
    reserved: BTreeMap<BoundSide, i128>,
    /// The row was there before its column counted: then nobody carried constants, and its creator has what the others have not.
    older: bool,
}

impl Account {
    fn add(&mut self, side: BoundSide, site: SiteId, by: i128) {
        *self.rights.entry((side, site)).or_default() += by;
    }
}

impl Rights {
    /// A process has started: the books begin anew, from everything that it has applied.
    pub fn started(&mut self, site: &Site, members: &Members, history: &History) {
        *self = Rights::default();
        let all = News::of(site, &Frontier::default(), site.engine().applied(), history);
        self.check(site, members, &all);
    }

    /// A site has applied something.
    pub fn check(&mut self, site: &Site, members: &Members, news: &News) {
        let schema = site.engine().schema();
        let mut touched = BTreeSet::new();
        for (dot, transaction) in &news.blue {
            self.book(&schema, TxnId::Blue(*dot), transaction, &mut touched);
        }
        for (r, entry, verdict) in &news.red {
            // What is void or refused because its site was removed returns nothing: what is put aside falls to the heir.
            let stays = matches!(
                (&**entry, verdict),
                (Entry::Transaction(_), Verdict::Void) | (_, Verdict::Refused(Refusal::Removed { .. }))
            );
            if stays {
                continue;
            }
            for (cell, side, amount) in self.reserved.remove(&entry.id()).unwrap_or_default() {
                touched.insert((cell.0, cell.1.clone()));
                let account = self.accounts.entry(cell).or_default();
                account.add(side, entry.id().site, amount);
                *account.reserved.entry(side).or_default() -= amount;
            }
            if let (Entry::Transaction(red), Verdict::Accepted) = (&**entry, verdict) {
                self.book(&schema, TxnId::Red(*r), &red.transaction, &mut touched);
            }
        }
        for (table, key) in touched {
            if let Some(table) = schema.tables.get(&table) {
                self.row(site, members, table, &key);
            }
        }
    }

    fn book(
        &mut self,
        schema: &Schema,
        id: TxnId,
        transaction: &ShadowTransaction,
        touched: &mut BTreeSet<(TableId, Key)>,
    ) {
        for op in &transaction.ops {
            let Some(table) = op.op.table().and_then(|id| schema.tables.get(&id)) else { continue };
            let Some(key) = op.op.key() else { continue };
            let cell = |of: TxnId, column: ColumnId| (table.id, key.clone(), of, column);
            match &op.op {
                Op::Insert { values, .. } => {
                    for column in table.columns.iter().filter(|column| !table.is_bounded(column.id)) {
                        self.accounts.entry(cell(id, column.id)).or_default().older = true;
                    }
                    for (column, side, limit) in bounds(table) {
                        let value = number(&values[usize::from(column.0)]);
                        let created = if side == BoundSide::AtLeast { value - limit } else { limit - value };
                        let account = self.accounts.entry(cell(id, column)).or_default();
                        account.add(side, transaction.origin, created);
                        touched.insert((table.id, key.clone()));
                    }
                }
                Op::Update { of, cells, .. } => {
                    for (column, write) in cells {
                        let Write::Bounded(by) = write else { continue };
                        let account = self.accounts.entry(cell(of[0], *column)).or_default();
                        account.add(BoundSide::AtLeast, transaction.origin, number(by));
                        account.add(BoundSide::AtMost, transaction.origin, -number(by));
                        touched.insert((table.id, key.clone()));
                    }
                }
                Op::Rights { of, moves, .. } => {
                    touched.insert((table.id, key.clone()));
                    for transfer in moves {
                        self.transfer(transaction.origin, transfer, &|column| cell(of.unwrap_or(id), column));
                    }
                }
                Op::Delete { .. } | Op::Schema(_) => {}
            }
        }
    }

    fn transfer(&mut self, from: SiteId, transfer: &Move, cell: &dyn Fn(ColumnId) -> Cell) {
        let (column, side, amount) = match transfer {
            Move::Gift { column, side, to, amount } => {
                self.accounts.entry(cell(*column)).or_default().add(*side, *to, number(amount));
                (column, side, amount)
            }
            Move::Reserve { column, side, entry, amount } => {
                let account = self.accounts.entry(cell(*column)).or_default();
                *account.reserved.entry(*side).or_default() += number(amount);
                self.reserved.entry(*entry).or_default().push((cell(*column), *side, number(amount)));
                (column, side, amount)
            }
            Move::Return { entry } => panic!("rights: a transaction returns what is put aside for {entry}"),
        };
        self.accounts.entry(cell(*column)).or_default().add(*side, from, -number(amount));
    }

    fn row(&self, site: &Site, members: &Members, table: &Table, key: &Key) {
        let state = site.engine().newest(table.id, key).expect("the simulated store can be read");
        for row in state.iter().flat_map(|state| &state.incarnations) {
            for (column, side, _) in bounds(table) {
                self.account(site, members, table, key, row, (column, side));
            }
        }
    }

    #[allow(clippy::too_many_arguments)] // where, of whom, and of what
    fn account(
        &self,
        site: &Site,
        members: &Members,
        table: &Table,
        key: &Key,
        row: &Incarnation,
        at: (ColumnId, BoundSide),
    ) {
        let (column, side) = at;
        let none = Account::default();
        let booked = self.accounts.get(&(table.id, key.clone(), row.id, column)).unwrap_or(&none);
        let place = || format!("at site {} of {} {key:?} ({}) {side:?}", site.id(), table.name, row.id);
        let mut estates: BTreeMap<SiteId, i128> = BTreeMap::new();
        for reserved in row.rights.reserved.iter().filter(|r| (r.column, r.side) == (column, side)) {
            if let Some(closed) = members.closed().get(&reserved.entry.site) {
                *estates.entry(closed.heir).or_default() += number(&reserved.amount);
            }
        }
        let mut sum = number(&row.reserved(table, column, side));
        assert_eq!(sum, booked.reserved.get(&side).copied().unwrap_or(0), "rights: put aside {}", place());
        let parties: BTreeSet<SiteId> =
            booked.rights.keys().map(|(_, party)| *party).chain([row.creator()]).collect();
        for party in parties {
            let has = number(&row.rights_of(table, column, side, party).expect("there is a bound"));
            let expected = booked.rights.get(&(side, party)).copied().unwrap_or(0);
            let known = !(booked.older && party == row.creator());
            assert!(!known || has == expected, "rights: of site {party} {}: {has}, not {expected}", place());
            let falls_to = members.closed().get(&party).map_or(party, |closed| closed.heir);
            *estates.entry(falls_to).or_default() += has;
            sum += has;
        }
        for (party, has) in estates {
            assert!(has >= 0, "rights: site {party} has {has} {}", place());
        }
        let slack = number(&row.slack(table, column, side).expect("there is a bound"));
        assert_eq!(sum, slack, "rights: all together, and the slack, {}", place());
    }
}

/// A table's bounded delta columns, with their limits.
fn bounds(table: &Table) -> impl Iterator<Item = (ColumnId, BoundSide, i128)> + '_ {
    let columns = table.columns.iter().map(|column| column.id);
    columns.flat_map(move |column| {
        let of = move |side| table.bound(column, side).map(|(_, limit)| (column, side, number(limit)));
        SIDES.into_iter().filter_map(of)
    })
}
