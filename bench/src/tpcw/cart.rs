//! The shopping cart: made when first needed, filled, changed, looked at.

use super::connection::Connection;
use super::run::Ids;
use super::sql::Sql;
use crate::values::Cents;

type Result<T> = std::result::Result<T, tokio_postgres::Error>;

/// What a visit to the cart is for, decided before the transaction so that a retry does the same.
#[derive(Clone, Debug)]
pub struct Visit {
    /// The client's cart, if it has one.
    pub cart: Option<i32>,
    /// What is put in, if something is, and always if the cart is empty.
    pub item: i32,
    /// So many.
    pub copies: i32,
    /// Change the line of this rank (if there is one) to so many copies, none removing it, instead of adding.
    pub refresh: Option<(usize, i32)>,
}

/// A line of a cart.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Line {
    pub item: i32,
    pub copies: i32,
    pub cost: Cents,
}

/// The shopping cart interaction; the cart's id.
pub async fn visit(db: &mut Connection, visit: &Visit, ids: Ids) -> Result<i32> {
    let cart = ensure(db, visit.cart, ids).await?;
    let lines = if visit.refresh.is_some() { contents(db, cart).await? } else { Vec::new() };
    match visit.refresh {
        Some((rank, copies)) if !lines.is_empty() => {
            let line = &lines[rank % lines.len()];
            if copies == 0 && lines.len() > 1 {
                db.execute(Sql::RemoveCartLine, &[&cart, &line.item]).await?;
            } else {
                db.execute(Sql::SetCartLine, &[&cart, &line.item, &copies.max(1)]).await?;
            }
        }
        _ => add(db, cart, visit.item, visit.copies).await?,
    }
    db.execute(Sql::TouchCart, &[&cart]).await?;
    contents(db, cart).await?;
    Ok(cart)
}

/// The cart, made if there is none.
pub async fn ensure(db: &mut Connection, cart: Option<i32>, ids: Ids) -> Result<i32> {
    match (cart, ids) {
        (Some(cart), _) => Ok(cart),
        (None, Ids::Minted) => Ok(db.one(Sql::NewCart, &[]).await?.get(0)),
        (None, Ids::Max) => {
            let cart: i32 = db.one(Sql::NextCart, &[]).await?.get(0);
            db.execute(Sql::NewCartAs, &[&cart]).await?;
            Ok(cart)
        }
    }
}

/// Puts copies of an item in.
pub async fn add(db: &mut Connection, cart: i32, item: i32, copies: i32) -> Result<()> {
    match db.first(Sql::CartLine, &[&cart, &item]).await? {
        Some(row) => {
            let copies = row.get::<_, i32>(0) + copies;
            db.execute(Sql::SetCartLine, &[&cart, &item, &copies]).await?
        }
        None => db.execute(Sql::AddCartLine, &[&cart, &item, &copies]).await?,
    };
    Ok(())
}

/// Its lines, by item.
pub async fn contents(db: &mut Connection, cart: i32) -> Result<Vec<Line>> {
    let rows = db.rows(Sql::Cart, &[&cart]).await?;
    rows.iter()
        .map(|row| Ok(Line { item: row.try_get(0)?, copies: row.try_get(1)?, cost: row.try_get(2)? }))
        .collect()
}
