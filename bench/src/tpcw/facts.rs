//! What a site holds: everything the checks are about, read in one transaction on one snapshot.

use std::collections::BTreeMap;

use tokio_postgres::Client;

use super::connection::Target;
use crate::Error;
use crate::values::Cents;

/// An order's figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Order {
    pub sub_total: Cents,
    pub tax: Cents,
    pub total: Cents,
}

/// A line of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Line {
    pub number: i32,
    pub item: i32,
    pub copies: i32,
}

/// A site's contents, as far as they are checked. Lists are in the server's order: an id can stand in them twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Facts {
    /// Item and stock.
    pub stock: Vec<(i32, i32)>,
    pub orders: Vec<(i32, Order)>,
    /// Lines by order.
    pub lines: BTreeMap<i32, Vec<Line>>,
    /// Order and amount.
    pub payments: Vec<(i32, Cents)>,
    pub customers: Vec<i32>,
    pub addresses: Vec<i32>,
    pub carts: Vec<i32>,
    /// Cart and item.
    pub cart_lines: Vec<(i32, i32)>,
}

async fn rows<T>(
    client: &Client,
    sql: &str,
    read: impl Fn(&tokio_postgres::Row) -> Result<T, tokio_postgres::Error>,
) -> Result<Vec<T>, Error> {
    let rows = client.query(sql, &[]).await.map_err(Error::during(sql))?;
    rows.iter().map(read).collect::<Result<_, _>>().map_err(Error::during(sql))
}

impl Facts {
    /// Reads them.
    pub async fn read(target: &Target) -> Result<Facts, Error> {
        let client = target.connect().await?;
        let c = &client;
        c.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await.map_err(Error::during("BEGIN"))?;
        let mut facts = Facts {
            stock: rows(c, "SELECT i_id, i_stock FROM item ORDER BY i_id", |r| {
                Ok((r.try_get(0)?, r.try_get(1)?))
            })
            .await?,
            orders: rows(c, "SELECT o_id, o_sub_total, o_tax, o_total FROM orders ORDER BY o_id", |r| {
                Ok((
                    r.try_get(0)?,
                    Order { sub_total: r.try_get(1)?, tax: r.try_get(2)?, total: r.try_get(3)? },
                ))
            })
            .await?,
            payments: rows(c, "SELECT cx_o_id, cx_xact_amt FROM cc_xacts ORDER BY cx_o_id", |r| {
                Ok((r.try_get(0)?, r.try_get(1)?))
            })
            .await?,
            customers: rows(c, "SELECT c_id FROM customer ORDER BY c_id", |r| r.try_get(0)).await?,
            addresses: rows(c, "SELECT addr_id FROM address ORDER BY addr_id", |r| r.try_get(0)).await?,
            carts: rows(c, "SELECT sc_id FROM shopping_cart ORDER BY sc_id", |r| r.try_get(0)).await?,
            cart_lines: rows(
                c,
                "SELECT scl_sc_id, scl_i_id FROM shopping_cart_line ORDER BY scl_sc_id, scl_i_id",
                |r| Ok((r.try_get(0)?, r.try_get(1)?)),
            )
            .await?,
            lines: BTreeMap::new(),
        };
        let lines =
            rows(c, "SELECT ol_o_id, ol_id, ol_i_id, ol_qty FROM order_line ORDER BY ol_o_id, ol_id", |r| {
                let line = Line { number: r.try_get(1)?, item: r.try_get(2)?, copies: r.try_get(3)? };
                Ok((r.try_get::<_, i32>(0)?, line))
            })
            .await?;
        for (order, line) in lines {
            facts.lines.entry(order).or_default().push(line);
        }
        c.batch_execute("COMMIT").await.map_err(Error::during("COMMIT"))?;
        Ok(facts)
    }
}

/// What a Gemini site says of its contents.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Digest {
    pub frontier: String,
    pub digest: String,
}

/// Whether a server is a Gemini site, and its name there.
pub async fn site_name(target: &Target) -> Result<Option<String>, Error> {
    let client = target.connect().await?;
    let name = match client.simple_query("SHOW gemini.site").await {
        Ok(messages) => messages.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        }),
        Err(_) => None,
    };
    Ok(name)
}

/// The frontier a site has applied.
pub async fn frontier(target: &Target) -> Result<String, Error> {
    let client = target.connect().await?;
    let sql = "SELECT frontier FROM gemini.status";
    let row = client.query_one(sql, &[]).await.map_err(Error::during(sql))?;
    row.try_get(0).map_err(Error::during(sql))
}

/// Its digest, and the frontier that belongs to it.
pub async fn digest(target: &Target) -> Result<Digest, Error> {
    let client = target.connect().await?;
    let sql = "SELECT frontier, digest FROM gemini.digest WHERE \"table\" IS NULL";
    let row = client.query_one(sql, &[]).await.map_err(Error::during(sql))?;
    let get = |i| row.try_get::<_, String>(i).map_err(Error::during(sql));
    Ok(Digest { frontier: get(0)?, digest: get(1)? })
}
