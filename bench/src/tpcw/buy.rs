//! Buy request and buy confirm: who buys, and the order itself.
//!
//! Buy confirm is the transaction TPC-W is about: an order, its lines, the stock of every item, the payment, all or
//! nothing. If a sale would leave fewer than ten copies, 21 more are stocked in the same transaction (clause 2.7.3), so
//! whether the stock falls or rises is decided by what the transaction sees.

use std::time::{Duration, SystemTime};

use super::cart::{self, Line};
use super::connection::Connection;
use super::run::{Ids, Stock};
use super::sql::Sql;
use crate::values::{Cents, Date};

type Result<T> = std::result::Result<T, tokio_postgres::Error>;

/// Ways to ship.
pub const SHIPPING: [&str; 6] = ["AIR", "UPS", "FEDEX", "SHIP", "COURIER", "MAIL"];
/// Ways to pay.
pub const CARDS: [&str; 5] = ["VISA", "MASTERCARD", "DISCOVER", "AMEX", "DINERS"];

/// Below this, more is stocked.
const LEAST_STOCK: i64 = 10;
/// So much more.
pub const RESTOCK: i64 = 21;

/// 8.25 %, in cents.
pub fn tax(sub_total: i64) -> i64 {
    (sub_total * 825 + 5_000) / 10_000
}

/// 3.00 and 1.00 per copy, in cents.
pub fn shipping(copies: i64) -> i64 {
    300 + 100 * copies
}

/// How often [`RESTOCK`] is added when `copies` are sold of `stock`.
pub fn restocks(stock: i64, copies: i64) -> i64 {
    let short = LEAST_STOCK - (stock - copies);
    if short <= 0 { 0 } else { (short + RESTOCK - 1) / RESTOCK }
}

/// An address as a customer gives it.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Address {
    pub street1: String,
    pub street2: String,
    pub city: String,
    pub state: String,
    pub zip: String,
    pub country: &'static str,
}

/// Who registers.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Registration {
    pub user: String,
    pub first: String,
    pub last: String,
    pub phone: String,
    pub email: String,
    pub discount: Cents,
    pub born: Date,
    pub data: String,
    pub address: Address,
}

/// Who buys.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Customer {
    Known(String),
    New(Box<Registration>),
}

/// The buy request interaction: the customer is looked up and the session extended, or the customer is registered; then the cart
/// is shown. The customer's id.
pub async fn request(
    db: &mut Connection,
    customer: &Customer,
    cart: Option<i32>,
    ids: Ids,
) -> Result<Option<i32>> {
    let id = match customer {
        Customer::Known(user) => match db.first(Sql::CustomerByName, &[user]).await? {
            Some(row) => {
                let id: i32 = row.try_get(0)?;
                db.execute(Sql::RefreshSession, &[&id]).await?;
                Some(id)
            }
            None => None,
        },
        Customer::New(registration) => Some(register(db, registration, ids).await?),
    };
    if let Some(cart) = cart {
        cart::contents(db, cart).await?;
    }
    Ok(id)
}

async fn register(db: &mut Connection, new: &Registration, ids: Ids) -> Result<i32> {
    let address = enter(db, &new.address, ids).await?;
    let password = new.user.to_lowercase();
    match ids {
        Ids::Minted => {
            let row = db
                .one(
                    Sql::NewCustomer,
                    &[
                        &new.user,
                        &password,
                        &new.first,
                        &new.last,
                        &address,
                        &new.phone,
                        &new.email,
                        &new.discount,
                        &new.born,
                        &new.data,
                    ],
                )
                .await?;
            row.try_get(0)
        }
        Ids::Max => {
            let id: i32 = db.one(Sql::NextCustomer, &[]).await?.try_get(0)?;
            db.execute(
                Sql::NewCustomerAs,
                &[
                    &new.user,
                    &password,
                    &new.first,
                    &new.last,
                    &address,
                    &new.phone,
                    &new.email,
                    &new.discount,
                    &new.born,
                    &new.data,
                    &id,
                ],
            )
            .await?;
            Ok(id)
        }
    }
}

/// An address's id; it is entered if nobody has it.
async fn enter(db: &mut Connection, new: &Address, ids: Ids) -> Result<i32> {
    let country: i32 = db.one(Sql::CountryByName, &[&new.country]).await?.try_get(0)?;
    let known = db
        .first(Sql::FindAddress, &[&new.zip, &new.street1, &new.street2, &new.city, &new.state, &country])
        .await?;
    if let Some(row) = known {
        return row.try_get(0);
    }
    match ids {
        Ids::Minted => {
            let row = db
                .one(
                    Sql::NewAddress,
                    &[&new.street1, &new.street2, &new.city, &new.state, &new.zip, &country],
                )
                .await?;
            row.try_get(0)
        }
        Ids::Max => {
            let id: i32 = db.one(Sql::NextAddress, &[]).await?.try_get(0)?;
            db.execute(
                Sql::NewAddressAs,
                &[&new.street1, &new.street2, &new.city, &new.state, &new.zip, &country, &id],
            )
            .await?;
            Ok(id)
        }
    }
}

/// What a buy confirm needs, decided before the transaction so that a retry does the same.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Purchase {
    pub customer: i32,
    pub cart: Option<i32>,
    /// Goes into an empty cart.
    pub item: i32,
    pub copies: i32,
    /// A new address to ship to.
    pub ship_to: Option<Address>,
    pub ship_type: &'static str,
    pub ship_days: u64,
    pub card: &'static str,
    pub card_number: String,
    pub card_expires: Date,
    pub comments: String,
}

/// An order that was placed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Placed {
    pub order: i32,
    pub cart: i32,
    /// Item, copies.
    pub lines: Vec<(i32, i32)>,
    /// Item, how often it was restocked.
    pub restocks: Vec<(i32, i64)>,
}

/// The buy confirm interaction.
pub async fn confirm(db: &mut Connection, purchase: &Purchase, ids: Ids, stock: Stock) -> Result<Placed> {
    let cart = cart::ensure(db, purchase.cart, ids).await?;
    let mut lines = match purchase.cart {
        Some(_) => cart::contents(db, cart).await?,
        None => Vec::new(),
    };
    if lines.is_empty() {
        cart::add(db, cart, purchase.item, purchase.copies).await?;
        lines = cart::contents(db, cart).await?;
    }
    let buyer = db.one(Sql::Buyer, &[&purchase.customer]).await?;
    let (discount, home): (Cents, i32) = (buyer.try_get(2)?, buyer.try_get(3)?);
    let mut holder = format!("{} {}", buyer.try_get::<_, &str>(0)?, buyer.try_get::<_, &str>(1)?);
    // Names are ASCII here, and two of them can be longer than a card's line.
    holder.truncate(30);
    let ship_to = match &purchase.ship_to {
        Some(address) => enter(db, address, ids).await?,
        None => home,
    };
    let total = Totals::of(&lines, discount);
    let order = place(db, purchase, &total, home, ship_to, ids).await?;
    let mut placed = Placed { order, cart, lines: Vec::new(), restocks: Vec::new() };
    for (i, line) in lines.iter().enumerate() {
        let number = i as i32 + 1;
        db.execute(Sql::NewLine, &[&number, &order, &line.item, &line.copies, &discount, &purchase.comments])
            .await?;
        placed.lines.push((line.item, line.copies));
        let times = sell(db, line, stock).await?;
        if times > 0 {
            placed.restocks.push((line.item, times));
        }
    }
    db.execute(
        Sql::Pay,
        &[
            &order,
            &purchase.card,
            &purchase.card_number,
            &holder,
            &purchase.card_expires,
            &Cents(total.total),
            &ship_to,
        ],
    )
    .await?;
    db.execute(Sql::EmptyCart, &[&cart]).await?;
    Ok(placed)
}

struct Totals {
    sub_total: i64,
    tax: i64,
    total: i64,
}

impl Totals {
    fn of(lines: &[Line], discount: Cents) -> Totals {
        let full: i64 = lines.iter().map(|line| line.cost.0 * i64::from(line.copies)).sum();
        let sub_total = full - full * discount.0 / 10_000;
        let tax = tax(sub_total);
        let copies = lines.iter().map(|line| i64::from(line.copies)).sum();
        Totals { sub_total, tax, total: sub_total + tax + shipping(copies) }
    }
}

async fn place(
    db: &mut Connection,
    purchase: &Purchase,
    total: &Totals,
    bill_to: i32,
    ship_to: i32,
    ids: Ids,
) -> Result<i32> {
    let [sub_total, tax, total] = [total.sub_total, total.tax, total.total].map(Cents);
    let shipped = SystemTime::now() + Duration::from_secs(86_400 * purchase.ship_days);
    let customer = purchase.customer;
    match ids {
        Ids::Minted => {
            let row = db
                .one(
                    Sql::NewOrder,
                    &[&customer, &sub_total, &tax, &total, &purchase.ship_type, &shipped, &bill_to, &ship_to],
                )
                .await?;
            row.try_get(0)
        }
        Ids::Max => {
            let id: i32 = db.one(Sql::NextOrder, &[]).await?.try_get(0)?;
            db.execute(
                Sql::NewOrderAs,
                &[
                    &customer,
                    &sub_total,
                    &tax,
                    &total,
                    &purchase.ship_type,
                    &shipped,
                    &bill_to,
                    &ship_to,
                    &id,
                ],
            )
            .await?;
            Ok(id)
        }
    }
}

/// Takes what is sold out of the stock; how often it was restocked.
async fn sell(db: &mut Connection, line: &Line, stock: Stock) -> Result<i64> {
    let seen: i32 = db.one(Sql::Stock, &[&line.item]).await?.try_get(0)?;
    let times = restocks(i64::from(seen), i64::from(line.copies));
    let change = times as i32 * RESTOCK as i32 - line.copies;
    match stock {
        Stock::Assign => db.execute(Sql::SetStock, &[&line.item, &(seen + change)]).await?,
        Stock::Delta if change < 0 => db.execute(Sql::TakeStock, &[&line.item, &-change]).await?,
        Stock::Delta => db.execute(Sql::AddStock, &[&line.item, &change]).await?,
    };
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stock_stays_at_ten_or_above() {
        for stock in 0..40 {
            for copies in 1..100 {
                let times = restocks(stock, copies);
                let after = stock - copies + times * RESTOCK;
                assert!(after >= LEAST_STOCK, "{stock} - {copies}");
                assert!(times == 0 || after - RESTOCK < LEAST_STOCK, "no more than needed");
            }
        }
        assert_eq!([restocks(20, 10), restocks(20, 11), restocks(10, 22), restocks(10, 200)], [0, 1, 2, 10]);
    }

    #[test]
    fn totals() {
        let line = |cost, copies| Line { item: 1, copies, cost: Cents(cost) };
        let totals = Totals::of(&[line(1_000, 2), line(50, 1)], Cents(1_000));
        assert_eq!((totals.sub_total, totals.tax, totals.total), (1_845, 152, 1_845 + 152 + 600));
    }
}
