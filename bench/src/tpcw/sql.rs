//! Every statement of the application, in PostgreSQL's form. Prepared once per connection, when first used.

macro_rules! statements {
    ($($name:ident = $text:expr;)*) => {
        /// A statement of the application.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[allow(missing_docs)]
        pub enum Sql { $($name),* }

        impl Sql {
            /// All of them.
            pub const ALL: &[Sql] = &[$(Sql::$name),*];

            /// Its text.
            pub fn text(self) -> &'static str {
                match self { $(Sql::$name => $text),* }
            }
        }
    };
}

statements! {
    // Home, search request.
    CustomerName = "SELECT c_fname, c_lname FROM customer WHERE c_id = $1";
    Promotions = "SELECT j.i_id, j.i_thumbnail FROM item i, item j \
        WHERE (i.i_related1 = j.i_id OR i.i_related2 = j.i_id OR i.i_related3 = j.i_id \
               OR i.i_related4 = j.i_id OR i.i_related5 = j.i_id) AND i.i_id = $1";
    // New products, best sellers.
    NewProducts = "SELECT i_id, i_title, a_fname, a_lname FROM item, author \
        WHERE item.i_a_id = author.a_id AND item.i_subject = $1 ORDER BY item.i_pub_date DESC, item.i_title LIMIT 50";
    BestSellers = "SELECT i_id, i_title, a_fname, a_lname, SUM(ol_qty) AS sold FROM item, author, order_line \
        WHERE item.i_id = order_line.ol_i_id AND item.i_a_id = author.a_id \
          AND order_line.ol_o_id > (SELECT MAX(o_id) - 3333 FROM orders) AND item.i_subject = $1 \
        GROUP BY i_id, i_title, a_fname, a_lname ORDER BY SUM(ol_qty) DESC LIMIT 50";
    // Product detail.
    Product = "SELECT i_title, i_pub_date, i_publisher, i_subject, i_desc, i_image, i_cost, i_srp, i_avail, i_stock, i_isbn, \
        i_page, i_backing, i_dimensions, a_fname, a_lname FROM item, author WHERE item.i_a_id = author.a_id AND i_id = $1";
    // Search results.
    BySubject = "SELECT i_id, i_title, a_fname, a_lname FROM item, author \
        WHERE item.i_a_id = author.a_id AND item.i_subject = $1 ORDER BY item.i_title LIMIT 50";
    ByTitle = "SELECT i_id, i_title, a_fname, a_lname FROM item, author \
        WHERE item.i_a_id = author.a_id AND item.i_title LIKE $1 ORDER BY item.i_title LIMIT 50";
    ByAuthor = "SELECT i_id, i_title, a_fname, a_lname FROM author, item \
        WHERE author.a_lname LIKE $1 AND item.i_a_id = author.a_id ORDER BY item.i_title LIMIT 50";
    // Shopping cart.
    NewCart = "INSERT INTO shopping_cart (sc_time) VALUES (CURRENT_TIMESTAMP) RETURNING sc_id";
    NextCart = "SELECT COALESCE(MAX(sc_id), 0) + 1 FROM shopping_cart";
    NewCartAs = "INSERT INTO shopping_cart (sc_id, sc_time) VALUES ($1, CURRENT_TIMESTAMP)";
    CartLine = "SELECT scl_qty FROM shopping_cart_line WHERE scl_sc_id = $1 AND scl_i_id = $2";
    AddCartLine = "INSERT INTO shopping_cart_line (scl_sc_id, scl_i_id, scl_qty) VALUES ($1, $2, $3)";
    SetCartLine = "UPDATE shopping_cart_line SET scl_qty = $3 WHERE scl_sc_id = $1 AND scl_i_id = $2";
    RemoveCartLine = "DELETE FROM shopping_cart_line WHERE scl_sc_id = $1 AND scl_i_id = $2";
    TouchCart = "UPDATE shopping_cart SET sc_time = CURRENT_TIMESTAMP WHERE sc_id = $1";
    Cart = "SELECT scl_i_id, scl_qty, i_cost, i_title, i_srp, i_backing FROM shopping_cart_line, item \
        WHERE scl_i_id = i_id AND scl_sc_id = $1 ORDER BY scl_i_id";
    EmptyCart = "DELETE FROM shopping_cart_line WHERE scl_sc_id = $1";
    // Customer registration, order inquiry.
    UserName = "SELECT c_uname FROM customer WHERE c_id = $1";
    // Buy request.
    CustomerByName = "SELECT c_id, c_fname, c_lname, c_passwd, c_discount, addr_street1, addr_street2, addr_city, addr_state, \
        addr_zip, co_name FROM customer, address, country \
        WHERE customer.c_addr_id = address.addr_id AND address.addr_co_id = country.co_id AND customer.c_uname = $1";
    RefreshSession = "UPDATE customer SET c_login = CURRENT_TIMESTAMP, c_expiration = CURRENT_TIMESTAMP + INTERVAL '2 hours' \
        WHERE c_id = $1";
    CountryByName = "SELECT co_id FROM country WHERE co_name = $1";
    FindAddress = "SELECT addr_id FROM address WHERE addr_zip = $1 AND addr_street1 = $2 AND addr_street2 = $3 \
        AND addr_city = $4 AND addr_state = $5 AND addr_co_id = $6";
    NewAddress = "INSERT INTO address (addr_street1, addr_street2, addr_city, addr_state, addr_zip, addr_co_id) \
        VALUES ($1, $2, $3, $4, $5, $6) RETURNING addr_id";
    NextAddress = "SELECT COALESCE(MAX(addr_id), 0) + 1 FROM address";
    NewAddressAs = "INSERT INTO address (addr_id, addr_street1, addr_street2, addr_city, addr_state, addr_zip, addr_co_id) \
        VALUES ($7, $1, $2, $3, $4, $5, $6)";
    NewCustomer = "INSERT INTO customer (c_uname, c_passwd, c_fname, c_lname, c_addr_id, c_phone, c_email, c_since, \
        c_last_login, c_login, c_expiration, c_discount, c_balance, c_ytd_pmt, c_birthdate, c_data) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, CURRENT_DATE, CURRENT_DATE, CURRENT_TIMESTAMP, \
        CURRENT_TIMESTAMP + INTERVAL '2 hours', $8, 0.00, 0.00, $9, $10) RETURNING c_id";
    NextCustomer = "SELECT COALESCE(MAX(c_id), 0) + 1 FROM customer";
    NewCustomerAs = "INSERT INTO customer (c_id, c_uname, c_passwd, c_fname, c_lname, c_addr_id, c_phone, c_email, c_since, \
        c_last_login, c_login, c_expiration, c_discount, c_balance, c_ytd_pmt, c_birthdate, c_data) \
        VALUES ($11, $1, $2, $3, $4, $5, $6, $7, CURRENT_DATE, CURRENT_DATE, CURRENT_TIMESTAMP, \
        CURRENT_TIMESTAMP + INTERVAL '2 hours', $8, 0.00, 0.00, $9, $10)";
    // Buy confirm.
    Buyer = "SELECT c_fname, c_lname, c_discount, c_addr_id FROM customer WHERE c_id = $1";
    NewOrder = "INSERT INTO orders (o_c_id, o_date, o_sub_total, o_tax, o_total, o_ship_type, o_ship_date, o_bill_addr_id, \
        o_ship_addr_id, o_status) VALUES ($1, CURRENT_TIMESTAMP, $2, $3, $4, $5, $6, $7, $8, 'PENDING') RETURNING o_id";
    NextOrder = "SELECT COALESCE(MAX(o_id), 0) + 1 FROM orders";
    NewOrderAs = "INSERT INTO orders (o_id, o_c_id, o_date, o_sub_total, o_tax, o_total, o_ship_type, o_ship_date, \
        o_bill_addr_id, o_ship_addr_id, o_status) \
        VALUES ($9, $1, CURRENT_TIMESTAMP, $2, $3, $4, $5, $6, $7, $8, 'PENDING')";
    NewLine = "INSERT INTO order_line (ol_id, ol_o_id, ol_i_id, ol_qty, ol_discount, ol_comments) \
        VALUES ($1, $2, $3, $4, $5, $6)";
    Stock = "SELECT i_stock FROM item WHERE i_id = $1";
    TakeStock = "UPDATE item SET i_stock = i_stock - $2 WHERE i_id = $1";
    AddStock = "UPDATE item SET i_stock = i_stock + $2 WHERE i_id = $1";
    SetStock = "UPDATE item SET i_stock = $2 WHERE i_id = $1";
    Pay = "INSERT INTO cc_xacts (cx_o_id, cx_type, cx_num, cx_name, cx_expire, cx_xact_amt, cx_xact_date, cx_co_id) \
        VALUES ($1, $2, $3, $4, $5, $6, CURRENT_TIMESTAMP, \
        (SELECT co_id FROM address, country WHERE addr_id = $7 AND addr_co_id = co_id))";
    // Order display.
    Password = "SELECT c_passwd FROM customer WHERE c_uname = $1";
    LastOrder = "SELECT MAX(o_id) FROM orders, customer WHERE customer.c_id = orders.o_c_id AND c_uname = $1";
    Order = "SELECT o_id, c_fname, c_lname, c_email, c_phone, o_date, o_sub_total, o_tax, o_total, o_ship_type, o_ship_date, \
        o_status, cx_type, ship.addr_street1, ship.addr_zip, ship_co.co_name, bill.addr_street1 AS bill_street, \
        bill.addr_zip AS bill_zip, bill_co.co_name AS bill_country \
        FROM customer, orders, cc_xacts, address AS ship, country AS ship_co, address AS bill, country AS bill_co \
        WHERE orders.o_id = $1 AND cx_o_id = orders.o_id AND customer.c_id = orders.o_c_id \
          AND orders.o_bill_addr_id = bill.addr_id AND bill.addr_co_id = bill_co.co_id \
          AND orders.o_ship_addr_id = ship.addr_id AND ship.addr_co_id = ship_co.co_id";
    OrderLines = "SELECT ol_i_id, i_title, i_publisher, i_cost, ol_qty, ol_discount, ol_comments FROM order_line, item \
        WHERE ol_i_id = i_id AND ol_o_id = $1";
    // Admin request, admin confirm.
    AdminProduct = "SELECT i_srp, i_cost, i_title, i_image, i_thumbnail, a_fname, a_lname FROM item, author \
        WHERE item.i_a_id = author.a_id AND item.i_id = $1";
    EditProduct = "UPDATE item SET i_cost = $2, i_image = $3, i_thumbnail = $4, i_pub_date = CURRENT_DATE WHERE i_id = $1";
    BoughtTogether = "SELECT ol_i_id FROM orders, order_line WHERE orders.o_id = order_line.ol_o_id \
          AND NOT (order_line.ol_i_id = $1) AND orders.o_c_id IN (SELECT o_c_id FROM orders, order_line \
            WHERE orders.o_id = order_line.ol_o_id AND orders.o_id > (SELECT MAX(o_id) - 10000 FROM orders) \
              AND order_line.ol_i_id = $1) \
        GROUP BY ol_i_id ORDER BY SUM(ol_qty) DESC LIMIT 5";
    SetRelated = "UPDATE item SET i_related1 = $2, i_related2 = $3, i_related3 = $4, i_related4 = $5, i_related5 = $6 \
        WHERE i_id = $1";
}

/// The schema, unchanged for every server.
pub const SCHEMA: &str = include_str!("../../sql/tpcw-schema.sql");
/// What Gemini is told of it besides.
pub const ANNOTATIONS: &str = include_str!("../../sql/tpcw-annotations.sql");

/// The statements of a file without its comments. Our files have no semicolon or comment sign in a string.
pub fn split(text: &str) -> Vec<String> {
    let code: Vec<&str> = text.lines().map(|line| line.split("--").next().unwrap_or("")).collect();
    code.join("\n").split(';').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_split_into_statements() {
        assert_eq!(split("-- a; b\nCREATE x; -- c\n\nALTER\n y;"), ["CREATE x", "ALTER\n y"]);
        assert!(split(SCHEMA).iter().all(|text| text.starts_with("CREATE ")));
        assert!(split(ANNOTATIONS).iter().all(|text| text.starts_with("ALTER TABLE ")));
    }

    #[test]
    fn statements_have_their_parameters_in_a_row() {
        for sql in Sql::ALL {
            let greatest = (1..20).rev().find(|n| sql.text().contains(&format!("${n}"))).unwrap_or(0);
            for n in 1..=greatest {
                assert!(sql.text().contains(&format!("${n}")), "{sql:?} lacks ${n}");
            }
        }
    }
}
