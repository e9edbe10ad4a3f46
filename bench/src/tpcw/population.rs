//! TPC-W's population (clause 4.7 of the specification), as a pure function: row `n` of a table is the same for a seed
//! whatever else is generated, and in whatever order.
//!
//! Keys are given explicitly and run from 1 without gaps, so that a client knows who its customers are; a server's
//! sequences are still closed then. An item's related items may come after it: the items are loaded without them, and
//! [`related`] says what to fill in afterwards.
//!
//! Smaller than the specification's: it has 2,880 customers per emulated browser; here there are two per item unless told
//! otherwise.

use super::names::{COUNTRIES, SUBJECTS, digit_syllables};
use crate::random::Random;
use crate::values::{Cents, Date};

/// How large a shop is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Scale {
    pub items: i32,
    pub customers: i32,
    pub seed: u64,
}

impl Scale {
    /// With two customers per item.
    pub fn of_items(items: i32) -> Scale {
        Scale { items: items.max(10), customers: items.max(10).saturating_mul(2), seed: 1 }
    }

    /// Rows of a table.
    pub fn rows(&self, table: Table) -> i32 {
        match table {
            Table::Country => COUNTRIES.len() as i32,
            Table::Address => self.customers.saturating_mul(2),
            Table::Customer => self.customers,
            Table::Author => (self.items / 4).max(1),
            Table::Item => self.items,
            // 0.9 per customer, of one to five lines each.
            Table::Orders | Table::OrderLine | Table::CcXacts => {
                ((i64::from(self.customers) * 9 / 10) as i32).max(1)
            }
        }
    }
}

/// A table of the population, in an order in which foreign keys find their parents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Table {
    Country,
    Address,
    Customer,
    Author,
    Item,
    Orders,
    OrderLine,
    CcXacts,
}

impl Table {
    /// All of them, parents first.
    pub const ALL: [Table; 8] = [
        Table::Country,
        Table::Address,
        Table::Customer,
        Table::Author,
        Table::Item,
        Table::Orders,
        Table::OrderLine,
        Table::CcXacts,
    ];

    /// Its name and the columns a row of the population gives.
    pub fn columns(self) -> (&'static str, &'static str) {
        match self {
            Table::Country => ("country", "co_id, co_name, co_exchange, co_currency"),
            Table::Address => (
                "address",
                "addr_id, addr_street1, addr_street2, addr_city, addr_state, addr_zip, addr_co_id",
            ),
            Table::Customer => (
                "customer",
                "c_id, c_uname, c_passwd, c_fname, c_lname, c_addr_id, c_phone, c_email, c_since, c_last_login, \
                 c_login, c_expiration, c_discount, c_balance, c_ytd_pmt, c_birthdate, c_data",
            ),
            Table::Author => ("author", "a_id, a_fname, a_lname, a_mname, a_dob, a_bio"),
            Table::Item => (
                "item",
                "i_id, i_title, i_a_id, i_pub_date, i_publisher, i_subject, i_desc, i_thumbnail, i_image, i_srp, \
                 i_cost, i_avail, i_stock, i_isbn, i_page, i_backing, i_dimensions",
            ),
            Table::Orders => (
                "orders",
                "o_id, o_c_id, o_date, o_sub_total, o_tax, o_total, o_ship_type, o_ship_date, o_bill_addr_id, \
                 o_ship_addr_id, o_status",
            ),
            Table::OrderLine => ("order_line", "ol_id, ol_o_id, ol_i_id, ol_qty, ol_discount, ol_comments"),
            Table::CcXacts => (
                "cc_xacts",
                "cx_o_id, cx_type, cx_num, cx_name, cx_expire, cx_auth_id, cx_xact_amt, cx_xact_date, cx_co_id",
            ),
        }
    }
}

/// The population is of this day; nothing of it depends on the clock.
const TODAY: i32 = 9_497; // 2026-01-01
const SECONDS_A_DAY: i64 = 86_400;

type Row = Vec<String>;

/// The rows that number `n` (from 1) of a table stands for: one, or an order's lines.
pub fn rows(scale: &Scale, table: Table, n: i32) -> Vec<Row> {
    let mut random = stream(scale, table, n);
    match table {
        Table::Country => vec![country(&mut random, n)],
        Table::Address => vec![address(&mut random, n)],
        Table::Customer => vec![customer(scale, &mut random, n)],
        Table::Author => vec![author(&mut random, n)],
        Table::Item => vec![item(scale, &mut random, n)],
        Table::Orders => vec![order(scale, n)],
        Table::OrderLine => lines(scale, n).iter().enumerate().map(|(i, line)| line.row(n, i)).collect(),
        Table::CcXacts => vec![payment(scale, &mut random, n)],
    }
}

fn stream(scale: &Scale, table: Table, n: i32) -> Random {
    Random::new(scale.seed, table as u64, n as u64)
}

fn timestamp(day: i32, second: i64) -> String {
    format!("{} {:02}:{:02}:{:02}", Date(day), second / 3600, second / 60 % 60, second % 60)
}

fn country(random: &mut Random, n: i32) -> Row {
    let (name, currency) = COUNTRIES[(n - 1) as usize];
    let exchange = format!("{}.{:06}", random.within(0, 300), random.within(1, 999_999));
    vec![n.to_string(), name.into(), exchange, currency.into()]
}

fn address(random: &mut Random, n: i32) -> Row {
    let mut row = vec![n.to_string()];
    for (least, most) in [(15, 40), (15, 40), (4, 30), (2, 20)] {
        row.push(random.text(least, most));
    }
    row.push(zip(random));
    row.push(random.id(COUNTRIES.len() as i32).to_string());
    row
}

/// Of an address, also of a new one.
pub fn zip(random: &mut Random) -> String {
    random.text(5, 10)
}

fn customer(scale: &Scale, random: &mut Random, n: i32) -> Row {
    let uname = digit_syllables(n);
    let since = TODAY - random.within(1, 730) as i32;
    let last_login = (since + random.within(0, 60) as i32).min(TODAY);
    let login = random.within(0, SECONDS_A_DAY - 7_201);
    vec![
        n.to_string(),
        uname.clone(),
        uname.to_lowercase(),
        random.text(8, 15),
        random.text(8, 15),
        random.id(scale.rows(Table::Address)).to_string(),
        random.digits(16),
        format!("{uname}@{}.com", random.text(2, 9).replace(' ', "-")),
        Date(since).to_string(),
        Date(last_login).to_string(),
        timestamp(TODAY, login),
        timestamp(TODAY, login + 7_200),
        Cents(random.within(0, 5_000)).to_string(),
        Cents(0).to_string(),
        Cents(random.within(0, 99_999)).to_string(),
        Date(TODAY - random.within(18 * 365, 90 * 365) as i32).to_string(),
        random.text(100, 500),
    ]
}

fn author(random: &mut Random, n: i32) -> Row {
    vec![
        n.to_string(),
        random.text(3, 20),
        author_last_name(n),
        random.text(1, 20),
        Date(TODAY - random.within(20 * 365, 200 * 365) as i32).to_string(),
        random.text(125, 500),
    ]
}

/// An author's last name: what "search by author" looks for.
pub fn author_last_name(n: i32) -> String {
    let mut name = digit_syllables(n);
    name.truncate(20);
    name
}

/// What "search by title" looks for: the syllables at the start of an item's title.
pub fn title_word(n: i32) -> String {
    digit_syllables(n)
}

fn item(scale: &Scale, random: &mut Random, n: i32) -> Row {
    const BACKINGS: [&str; 5] = ["HARDBACK", "PAPERBACK", "USED", "AUDIO", "LIMITED-EDITION"];
    let authors = scale.rows(Table::Author);
    // Every author has a book; the rest are spread.
    let author = if n <= authors { n } else { random.id(authors) };
    let published = TODAY - random.within(1, 90 * 365) as i32;
    let list_price = random.within(100, 999_999);
    let discount = random.within(0, 50);
    let size = |random: &mut Random| Cents(random.within(1, 9_999)).to_string();
    let dimensions = [size(random), size(random), size(random)].join("x");
    vec![
        n.to_string(),
        format!("{} {}", title_word(n), random.text(10, 45)),
        author.to_string(),
        Date(published).to_string(),
        random.text(14, 60),
        random.pick(&SUBJECTS).into(),
        random.text(100, 500),
        format!("img{}/thumb_{n}.gif", n % 100),
        format!("img{}/image_{n}.gif", n % 100),
        Cents(list_price).to_string(),
        Cents(list_price - list_price * discount / 100).to_string(),
        Date(published + random.within(1, 30) as i32).to_string(),
        random.within(10, 30).to_string(),
        random.digits(13),
        random.within(20, 9_999).to_string(),
        random.pick(&BACKINGS).into(),
        dimensions,
    ]
}

/// The five items related to an item: other ones, all different.
pub fn related(scale: &Scale, n: i32) -> [i32; 5] {
    // A stream that no table uses.
    let mut random = Random::new(scale.seed, 100, n as u64);
    let mut chosen = [0; 5];
    for i in 0..chosen.len() {
        chosen[i] = loop {
            let other = random.id(scale.items);
            if other != n && !chosen[..i].contains(&other) {
                break other;
            }
        };
    }
    chosen
}

/// An order's figures, from which its row and its payment are made.
struct Order {
    customer: i32,
    day: i32,
    second: i64,
    sub_total: i64,
    tax: i64,
    total: i64,
    billing: i32,
}

fn figures(scale: &Scale, n: i32) -> Order {
    let mut random = stream(scale, Table::Orders, n);
    let sub_total = random.within(1_000, 999_900);
    let tax = super::buy::tax(sub_total);
    let copies = lines(scale, n).iter().map(|line| line.copies).sum();
    Order {
        customer: random.id(scale.customers),
        day: TODAY - random.within(1, 60) as i32,
        second: random.within(0, SECONDS_A_DAY - 1),
        sub_total,
        tax,
        total: sub_total + tax + super::buy::shipping(copies),
        billing: random.id(scale.rows(Table::Address)),
    }
}

fn order(scale: &Scale, n: i32) -> Row {
    const STATUS: [&str; 4] = ["PROCESSING", "SHIPPED", "PENDING", "DENIED"];
    let order = figures(scale, n);
    let mut random = Random::new(scale.seed, 101, n as u64);
    vec![
        n.to_string(),
        order.customer.to_string(),
        timestamp(order.day, order.second),
        Cents(order.sub_total).to_string(),
        Cents(order.tax).to_string(),
        Cents(order.total).to_string(),
        random.pick(&super::buy::SHIPPING).into(),
        timestamp(order.day + random.within(0, 7) as i32, order.second),
        order.billing.to_string(),
        random.id(scale.rows(Table::Address)).to_string(),
        random.pick(&STATUS).into(),
    ]
}

struct Line {
    item: i32,
    copies: i64,
    discount: i64,
    comments: String,
}

fn lines(scale: &Scale, n: i32) -> Vec<Line> {
    let mut random = stream(scale, Table::OrderLine, n);
    let line = |random: &mut Random| Line {
        item: random.id(scale.items),
        copies: random.within(1, 300),
        discount: random.within(0, 3_000),
        comments: random.text(20, 100),
    };
    (0..random.within(1, 5)).map(|_| line(&mut random)).collect()
}

impl Line {
    fn row(&self, order: i32, i: usize) -> Row {
        vec![
            (i + 1).to_string(),
            order.to_string(),
            self.item.to_string(),
            self.copies.to_string(),
            Cents(self.discount).to_string(),
            self.comments.clone(),
        ]
    }
}

fn payment(scale: &Scale, random: &mut Random, n: i32) -> Row {
    let order = figures(scale, n);
    vec![
        n.to_string(),
        random.pick(&super::buy::CARDS).into(),
        random.digits(16),
        random.text(14, 30),
        Date(TODAY + random.within(10, 730) as i32).to_string(),
        random.text(15, 15),
        Cents(order.total).to_string(),
        timestamp(order.day, order.second),
        random.id(COUNTRIES.len() as i32).to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const SCALE: Scale = Scale { items: 200, customers: 300, seed: 3 };

    fn all(scale: &Scale, table: Table) -> Vec<Row> {
        (1..=scale.rows(table)).flat_map(|n| rows(scale, table, n)).collect()
    }

    #[test]
    fn the_same_seed_makes_the_same_rows() {
        for table in Table::ALL {
            assert_eq!(all(&SCALE, table), all(&SCALE, table), "{table:?}");
            let backwards: Vec<Row> =
                (1..=SCALE.rows(table)).rev().flat_map(|n| rows(&SCALE, table, n)).collect();
            assert_eq!(backwards.len(), all(&SCALE, table).len());
        }
        let other = Scale { seed: 4, ..SCALE };
        assert_ne!(all(&SCALE, Table::Item), all(&other, Table::Item));
    }

    #[test]
    fn the_size_is_the_specifications() {
        let scale = Scale::of_items(1000);
        let rows = Table::ALL.map(|table| scale.rows(table));
        assert_eq!(rows, [92, 4000, 2000, 250, 1000, 1800, 1800, 1800]);
        let lines = all(&scale, Table::OrderLine).len();
        assert!((4500..6300).contains(&lines), "three lines an order: {lines}");
    }

    #[test]
    fn every_row_fills_its_columns_within_their_widths() {
        for table in Table::ALL {
            let names: Vec<&str> = table.columns().1.split(',').map(str::trim).collect();
            for row in all(&SCALE, table) {
                assert_eq!(row.len(), names.len(), "{table:?}");
                for (name, value) in names.iter().zip(&row) {
                    let width = match *name {
                        "c_uname" | "c_passwd" | "a_lname" | "a_fname" | "a_mname" => 20,
                        "c_fname" | "c_lname" => 17,
                        "c_email" => 50,
                        "i_title" | "i_publisher" => 60,
                        "addr_zip" | "o_ship_type" | "cx_type" => 10,
                        "i_dimensions" => 25,
                        "i_backing" | "cx_auth_id" => 15,
                        "o_status" => 16,
                        "co_currency" | "c_phone" => 18,
                        _ => 510,
                    };
                    assert!(value.len() <= width, "{name} = {value}");
                    assert!(!value.is_empty() && value.trim() == value, "{name} = {value:?}");
                }
            }
        }
    }

    #[test]
    fn references_are_within_the_tables() {
        let addresses = SCALE.rows(Table::Address);
        for row in all(&SCALE, Table::Customer) {
            assert!((1..=addresses).contains(&row[5].parse::<i32>().unwrap()));
        }
        let authors: BTreeSet<i32> =
            all(&SCALE, Table::Item).iter().map(|row| row[2].parse().unwrap()).collect();
        assert_eq!(authors, (1..=SCALE.rows(Table::Author)).collect(), "every author has a book");
        for n in 1..=SCALE.items {
            let related: BTreeSet<i32> = related(&SCALE, n).into_iter().collect();
            assert_eq!(related.len(), 5);
            assert!(!related.contains(&n) && related.iter().all(|other| (1..=SCALE.items).contains(other)));
        }
    }

    #[test]
    fn totals_add_up() {
        for n in 1..=SCALE.rows(Table::Orders) {
            let order = figures(&SCALE, n);
            let copies: i64 = lines(&SCALE, n).iter().map(|line| line.copies).sum();
            assert_eq!(order.total, order.sub_total + order.tax + 300 + 100 * copies);
        }
    }
}
