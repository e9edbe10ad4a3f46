//! One client: a customer with a cart who does one interaction after the other.
//!
//! What an interaction does is decided first (a [`Job`]), so that a transaction that is run again does the same on newer
//! data. A transaction that was refused (40001 and its kin) is run again after a pause that doubles; one whose outcome
//! was not learned (40003, a lost connection during COMMIT) is not: it is noted as unknown.

use std::time::{Duration, Instant};

use tokio_postgres::error::SqlState;

use super::admin::{self, Edit};
use super::buy::{self, Address, Customer, Placed, Purchase, Registration};
use super::cart::{self, Visit};
use super::connection::{Color, Connection, Target};
use super::mix::Interaction;
use super::names::{COUNTRIES, SUBJECTS, digit_syllables};
use super::reads::{self, Search};
use super::run::{Ids, Options, Stock};
use crate::random::Random;
use crate::values::{Cents, Date};

/// What one interaction will do.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Job {
    Home { customer: i32, item: i32 },
    Promotions { item: i32 },
    NewProducts(&'static str),
    BestSellers(&'static str),
    Product(i32),
    Search(Search),
    Cart(Visit),
    UserName(i32),
    BuyRequest { customer: Customer, cart: Option<i32> },
    BuyConfirm(Box<Purchase>),
    OrderDisplay(String),
    AdminRequest(i32),
    AdminConfirm(Edit),
}

/// What a committed transaction changed for its client.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Effect {
    Nothing,
    Cart { id: i32, new: bool },
    Customer { id: Option<i32>, new: bool },
    Placed { placed: Placed, new_cart: bool },
}

/// How an interaction ended.
#[allow(missing_docs)]
pub enum Ended {
    /// It committed, after so many refusals; the time is that of the run that committed.
    Done { effect: Effect, color: Color, took: Duration },
    /// Nobody told whether it committed.
    Unknown,
    /// It was given up.
    Failed,
}

/// SQLSTATEs of what went wrong: told to the statistics.
#[derive(Debug, Default)]
pub struct Troubles {
    /// Refused and run again.
    pub aborts: Vec<String>,
    /// Not run again.
    pub errors: Vec<(String, String)>,
}

/// A client.
pub struct Client {
    number: u64,
    options: Options,
    random: Random,
    /// Who it is.
    customer: i32,
    user: String,
    cart: Option<i32>,
    registrations: u64,
}

impl Client {
    /// Client number `number` of all clients of all sites.
    pub fn new(number: u64, options: &Options) -> Client {
        let mut random = Random::new(options.seed, 1_000, number);
        let customer = random.skewed_id(options.scale.customers);
        let user = digit_syllables(customer);
        Client { number, options: options.clone(), random, customer, user, cart: None, registrations: 0 }
    }

    /// The next interaction of the mix.
    pub fn draw(&mut self) -> (Interaction, Job) {
        let interaction = self.options.mix.draw(&mut self.random);
        (interaction, self.job(interaction))
    }

    /// How long to think before it.
    pub fn think(&mut self) -> Duration {
        let mean = self.options.think;
        if mean.is_zero() {
            return mean;
        }
        // Exponential, at most ten times the mean (clause 5.3.2.1).
        let unit = (self.random.within(1, 1 << 30) as f64) / (1u64 << 30) as f64;
        mean.mul_f64((-unit.ln()).min(10.0))
    }

    fn job(&mut self, interaction: Interaction) -> Job {
        let scale = self.options.scale;
        let item = self.random.skewed_id(scale.items);
        match interaction {
            Interaction::Home => Job::Home { customer: self.customer, item },
            Interaction::NewProducts => Job::NewProducts(self.random.pick(&SUBJECTS)),
            Interaction::BestSellers => Job::BestSellers(self.random.pick(&SUBJECTS)),
            Interaction::ProductDetail => Job::Product(item),
            Interaction::SearchRequest => Job::Promotions { item },
            Interaction::SearchResults => Job::Search(Search::draw(&mut self.random, &scale)),
            Interaction::ShoppingCart => Job::Cart(self.visit(item)),
            Interaction::CustomerRegistration | Interaction::OrderInquiry => Job::UserName(self.customer),
            Interaction::BuyRequest => Job::BuyRequest { customer: self.buyer(), cart: self.cart },
            Interaction::BuyConfirm => Job::BuyConfirm(Box::new(self.purchase(item))),
            Interaction::OrderDisplay => Job::OrderDisplay(self.user.clone()),
            Interaction::AdminRequest => Job::AdminRequest(item),
            Interaction::AdminConfirm => Job::AdminConfirm(self.edit(item)),
        }
    }

    fn visit(&mut self, item: i32) -> Visit {
        let refresh = self.random.percent(30);
        let refresh = refresh.then(|| (self.random.within(0, 9) as usize, self.random.within(0, 10) as i32));
        Visit { cart: self.cart, item, copies: self.random.within(1, 3) as i32, refresh }
    }

    /// One in five is new.
    fn buyer(&mut self) -> Customer {
        if !self.random.percent(20) {
            let known = self.random.skewed_id(self.options.scale.customers);
            return Customer::Known(digit_syllables(known));
        }
        self.registrations += 1;
        let mark = Random::new(self.options.run, self.number, self.registrations).next();
        let random = &mut self.random;
        Customer::New(Box::new(Registration {
            user: format!("N{mark:016X}"),
            first: random.text(8, 15),
            last: random.text(8, 15),
            phone: random.digits(16),
            email: format!("N{mark:016X}@example.com"),
            discount: Cents(random.within(0, 5_000)),
            born: Date(9_497 - random.within(18 * 365, 90 * 365) as i32),
            data: random.text(100, 500),
            address: address(random),
        }))
    }

    fn purchase(&mut self, item: i32) -> Purchase {
        let random = &mut self.random;
        Purchase {
            customer: self.customer,
            cart: self.cart,
            item,
            copies: random.within(1, 3) as i32,
            ship_to: random.percent(5).then(|| address(random)),
            ship_type: random.pick(&buy::SHIPPING),
            ship_days: random.within(1, 7) as u64,
            card: random.pick(&buy::CARDS),
            card_number: random.digits(16),
            card_expires: Date(9_497 + random.within(10, 730) as i32),
            comments: random.text(20, 100),
        }
    }

    fn edit(&mut self, item: i32) -> Edit {
        let items = self.options.scale.items;
        let first = self.random.id(items);
        // Five different ones that are not the item: six in a row, less the item if it is among them.
        let mut row = (0..6).map(|i| (first - 1 + i).rem_euclid(items) + 1).filter(|other| *other != item);
        let otherwise = std::array::from_fn(|_| row.next().unwrap_or(1));
        Edit {
            item,
            cost: Cents(self.random.within(100, 999_999)),
            picture: self.random.within(0, 99),
            otherwise,
        }
    }

    /// Does it, again and again if it is refused.
    pub async fn perform(&mut self, db: &mut Connection, job: &Job, troubles: &mut Troubles) -> Ended {
        let mut pause = Duration::from_millis(1);
        for attempt in 0..=self.options.retries {
            let start = Instant::now();
            let (ids, stock) = (self.options.ids, self.options.stock);
            match attempt_once(db, job, ids, stock).await {
                Ok(effect) => {
                    let took = start.elapsed();
                    let color = if writes(job) { db.last_color().await } else { Color::Read };
                    self.learn(&effect);
                    return Ended::Done { effect, color, took };
                }
                Err(Refusal { error, at_commit }) => {
                    let state = error.code().map_or("connection".to_owned(), |code| code.code().to_owned());
                    let unknown = error.code().is_none_or(|code| code.code() == "40003");
                    if unknown && at_commit {
                        troubles.errors.push((state, crate::describe(&error)));
                        return Ended::Unknown;
                    }
                    if attempt == self.options.retries || !self.again(error.code()) {
                        troubles.errors.push((state, crate::describe(&error)));
                        return Ended::Failed;
                    }
                    troubles.aborts.push(state);
                }
            }
            tokio::time::sleep(pause.mul_f64(0.5 + self.random.within(0, 1_000) as f64 / 1_000.0)).await;
            pause = (pause * 2).min(Duration::from_millis(128));
        }
        Ended::Failed
    }

    /// Whether running it anew can help.
    fn again(&self, code: Option<&SqlState>) -> bool {
        let Some(code) = code else { return false };
        match *code {
            SqlState::T_R_SERIALIZATION_FAILURE | SqlState::T_R_DEADLOCK_DETECTED => true,
            // Another took the last copies: seen anew, there is a restock.
            SqlState::CHECK_VIOLATION => true,
            // Another took the same MAX(id) + 1.
            SqlState::UNIQUE_VIOLATION => self.options.ids == Ids::Max,
            _ => false,
        }
    }

    fn learn(&mut self, effect: &Effect) {
        match effect {
            Effect::Nothing | Effect::Customer { id: None, .. } => {}
            Effect::Cart { id, .. } => self.cart = Some(*id),
            Effect::Customer { id: Some(id), .. } => self.customer = *id,
            // A cart is used for one order; the next begins with a new one.
            Effect::Placed { .. } => self.cart = None,
        }
    }
}

impl Job {
    /// The user it is about, if a client goes by another name afterwards.
    pub fn user(&self) -> Option<&str> {
        match self {
            Job::BuyRequest { customer: Customer::Known(user), .. } => Some(user),
            Job::BuyRequest { customer: Customer::New(new), .. } => Some(&new.user),
            _ => None,
        }
    }
}

impl Client {
    /// The client goes on as this user.
    pub fn become_user(&mut self, user: &str) {
        self.user = user.to_owned();
    }
}

fn address(random: &mut Random) -> Address {
    Address {
        street1: random.text(15, 40),
        street2: random.text(15, 40),
        city: random.text(4, 30),
        state: random.text(2, 20),
        zip: super::population::zip(random),
        country: random.pick(&COUNTRIES).0,
    }
}

fn writes(job: &Job) -> bool {
    matches!(job, Job::Cart(_) | Job::BuyRequest { .. } | Job::BuyConfirm(_) | Job::AdminConfirm(_))
}

struct Refusal {
    error: tokio_postgres::Error,
    at_commit: bool,
}

/// One transaction. What only reads is not wrapped in one.
async fn attempt_once(db: &mut Connection, job: &Job, ids: Ids, stock: Stock) -> Result<Effect, Refusal> {
    let early = |error| Refusal { error, at_commit: false };
    if !writes(job) {
        return read(db, job).await.map(|()| Effect::Nothing).map_err(early);
    }
    // Who computes a value from one that was read wants both on one snapshot, or updates are lost.
    let one_snapshot = stock == Stock::Assign || ids == Ids::Max;
    db.begin(one_snapshot).await.map_err(early)?;
    match write(db, job, ids, stock).await {
        Ok(effect) => match db.commit().await {
            Ok(()) => Ok(effect),
            Err(error) => {
                db.rollback().await;
                Err(Refusal { error, at_commit: true })
            }
        },
        Err(error) => {
            db.rollback().await;
            Err(early(error))
        }
    }
}

async fn read(db: &mut Connection, job: &Job) -> Result<(), tokio_postgres::Error> {
    match job {
        Job::Home { customer, item } => reads::home(db, *customer, *item).await,
        Job::Promotions { item } => reads::promotions(db, *item).await,
        Job::NewProducts(subject) => reads::new_products(db, subject).await,
        Job::BestSellers(subject) => reads::best_sellers(db, subject).await,
        Job::Product(item) => reads::product(db, *item).await,
        Job::Search(search) => reads::search(db, search).await,
        Job::UserName(customer) => reads::user_name(db, *customer).await,
        Job::OrderDisplay(user) => reads::order_display(db, user).await,
        Job::AdminRequest(item) => reads::admin_request(db, *item).await,
        Job::Cart(_) | Job::BuyRequest { .. } | Job::BuyConfirm(_) | Job::AdminConfirm(_) => Ok(()),
    }
}

async fn write(
    db: &mut Connection,
    job: &Job,
    ids: Ids,
    stock: Stock,
) -> Result<Effect, tokio_postgres::Error> {
    match job {
        Job::Cart(visit) => {
            let id = cart::visit(db, visit, ids).await?;
            Ok(Effect::Cart { id, new: visit.cart.is_none() })
        }
        Job::BuyRequest { customer, cart } => {
            let id = buy::request(db, customer, *cart, ids).await?;
            Ok(Effect::Customer { id, new: matches!(customer, Customer::New(_)) })
        }
        Job::BuyConfirm(purchase) => {
            let placed = buy::confirm(db, purchase, ids, stock).await?;
            Ok(Effect::Placed { placed, new_cart: purchase.cart.is_none() })
        }
        Job::AdminConfirm(edit) => admin::confirm(db, edit).await.map(|()| Effect::Nothing),
        _ => Ok(Effect::Nothing),
    }
}

/// Connects again and again until `until`; what is in the way is told once.
pub async fn reconnect(target: &Target, until: Instant, troubles: &mut Troubles) -> Option<Connection> {
    loop {
        match Connection::open(target).await {
            Ok(connection) => return Some(connection),
            Err(error) if Instant::now() >= until => {
                troubles.errors.push(("connection".into(), error.to_string()));
                return None;
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}
