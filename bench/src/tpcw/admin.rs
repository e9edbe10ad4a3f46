//! Admin confirm: an editor gives a book new pictures, a new price, and the five books most often bought with it.

use super::connection::Connection;
use super::sql::Sql;
use crate::values::Cents;

/// What the editor has decided.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Edit {
    pub item: i32,
    pub cost: Cents,
    pub picture: i64,
    /// Related items if too few were bought together.
    pub otherwise: [i32; 5],
}

/// The admin confirm interaction.
pub async fn confirm(db: &mut Connection, edit: &Edit) -> Result<(), tokio_postgres::Error> {
    let (image, thumbnail) =
        (format!("img{}/image.gif", edit.picture), format!("img{}/thumb.gif", edit.picture));
    db.execute(Sql::EditProduct, &[&edit.item, &edit.cost, &image, &thumbnail]).await?;
    let rows = db.rows(Sql::BoughtTogether, &[&edit.item]).await?;
    let mut related: Vec<i32> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    for item in edit.otherwise {
        if related.len() < 5 && !related.contains(&item) {
            related.push(item);
        }
    }
    // The list cannot be shorter: `otherwise` holds five different items.
    let [a, b, c, d, e] = related[..] else { return Ok(()) };
    db.execute(Sql::SetRelated, &[&edit.item, &a, &b, &c, &d, &e]).await.map(drop)
}
