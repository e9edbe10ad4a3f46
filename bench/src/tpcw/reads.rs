//! The interactions that only read.

use super::connection::Connection;
use super::names::SUBJECTS;
use super::population::{Scale, Table, author_last_name, title_word};
use super::sql::Sql;
use crate::random::Random;

type Result = std::result::Result<(), tokio_postgres::Error>;

/// What is searched for.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Search {
    Subject(&'static str),
    Title(String),
    Author(String),
}

impl Search {
    /// One of the three, for something that is there.
    pub fn draw(random: &mut Random, scale: &Scale) -> Search {
        match random.within(0, 2) {
            0 => Search::Subject(random.pick(&SUBJECTS)),
            1 => Search::Title(format!("{}%", title_word(random.skewed_id(scale.items)))),
            _ => Search::Author(format!("{}%", author_last_name(random.id(scale.rows(Table::Author))))),
        }
    }
}

/// Home: a greeting, and what is related to an item.
pub async fn home(db: &mut Connection, customer: i32, item: i32) -> Result {
    db.first(Sql::CustomerName, &[&customer]).await?;
    promotions(db, item).await
}

/// What is related to an item: also all there is on the search page.
pub async fn promotions(db: &mut Connection, item: i32) -> Result {
    db.rows(Sql::Promotions, &[&item]).await.map(drop)
}

/// The newest books of a subject.
pub async fn new_products(db: &mut Connection, subject: &str) -> Result {
    db.rows(Sql::NewProducts, &[&subject]).await.map(drop)
}

/// The books of a subject that sold best in the latest orders.
pub async fn best_sellers(db: &mut Connection, subject: &str) -> Result {
    db.rows(Sql::BestSellers, &[&subject]).await.map(drop)
}

/// One book.
pub async fn product(db: &mut Connection, item: i32) -> Result {
    db.one(Sql::Product, &[&item]).await.map(drop)
}

/// Books by subject, title or author.
pub async fn search(db: &mut Connection, search: &Search) -> Result {
    match search {
        Search::Subject(subject) => db.rows(Sql::BySubject, &[subject]).await,
        Search::Title(pattern) => db.rows(Sql::ByTitle, &[pattern]).await,
        Search::Author(pattern) => db.rows(Sql::ByAuthor, &[pattern]).await,
    }
    .map(drop)
}

/// The user's name, for a form: customer registration and order inquiry.
pub async fn user_name(db: &mut Connection, customer: i32) -> Result {
    db.first(Sql::UserName, &[&customer]).await.map(drop)
}

/// A customer's last order with its lines.
pub async fn order_display(db: &mut Connection, user: &str) -> Result {
    if db.first(Sql::Password, &[&user]).await?.is_none() {
        return Ok(());
    }
    let last: Option<i32> = db.one(Sql::LastOrder, &[&user]).await?.get(0);
    if let Some(order) = last {
        db.rows(Sql::Order, &[&order]).await?;
        db.rows(Sql::OrderLines, &[&order]).await?;
    }
    Ok(())
}

/// The book an administrator is about to edit.
pub async fn admin_request(db: &mut Connection, item: i32) -> Result {
    db.one(Sql::AdminProduct, &[&item]).await.map(drop)
}
