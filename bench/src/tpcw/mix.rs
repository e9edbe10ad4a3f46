//! The 14 web interactions and how often each mix asks for them (clause 5.2 of the specification).
//!
//! Interactions are drawn independently by their shares; the specification's Markov chain over pages, which leads to the
//! same shares, needs a browser between them. A client that is drawn a buy confirm without a cart therefore fills one in the same
//! transaction.

use crate::random::Random;

/// A web interaction; here each is one database transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Interaction {
    Home,
    NewProducts,
    BestSellers,
    ProductDetail,
    SearchRequest,
    SearchResults,
    ShoppingCart,
    CustomerRegistration,
    BuyRequest,
    BuyConfirm,
    OrderInquiry,
    OrderDisplay,
    AdminRequest,
    AdminConfirm,
}

use Interaction::*;

impl Interaction {
    /// In the specification's order: the first six browse, the others order.
    pub const ALL: [Interaction; 14] = [
        Home,
        NewProducts,
        BestSellers,
        ProductDetail,
        SearchRequest,
        SearchResults,
        ShoppingCart,
        CustomerRegistration,
        BuyRequest,
        BuyConfirm,
        OrderInquiry,
        OrderDisplay,
        AdminRequest,
        AdminConfirm,
    ];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Home => "home",
            NewProducts => "new products",
            BestSellers => "best sellers",
            ProductDetail => "product detail",
            SearchRequest => "search request",
            SearchResults => "search results",
            ShoppingCart => "shopping cart",
            CustomerRegistration => "customer registration",
            BuyRequest => "buy request",
            BuyConfirm => "buy confirm",
            OrderInquiry => "order inquiry",
            OrderDisplay => "order display",
            AdminRequest => "admin request",
            AdminConfirm => "admin confirm",
        }
    }
}

/// How much of the traffic buys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mix {
    /// 95 % browsing
    Browsing,
    /// 80 % browsing
    Shopping,
    /// Half browsing, half ordering
    Ordering,
}

impl Mix {
    /// Shares in hundredths of a percent, in the order of [`Interaction::ALL`].
    pub fn shares(self) -> [u32; 14] {
        match self {
            Mix::Browsing => [2900, 1100, 1100, 2100, 1200, 1100, 200, 82, 75, 69, 30, 25, 10, 9],
            Mix::Shopping => [1600, 500, 500, 1700, 2000, 1700, 1160, 300, 260, 120, 75, 66, 10, 9],
            Mix::Ordering => [912, 46, 46, 1235, 1453, 1308, 1353, 1286, 1273, 1018, 25, 22, 12, 11],
        }
    }

    /// The next interaction.
    pub fn draw(self, random: &mut Random) -> Interaction {
        let mut left = random.within(0, 9_999) as u32;
        for (interaction, share) in Interaction::ALL.into_iter().zip(self.shares()) {
            if left < share {
                return interaction;
            }
            left -= share;
        }
        // The shares sum to 10,000.
        Home
    }

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Mix::Browsing => "browsing",
            Mix::Shopping => "shopping",
            Mix::Ordering => "ordering",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_the_specifications() {
        for (mix, browsing) in [(Mix::Browsing, 9500), (Mix::Shopping, 8000), (Mix::Ordering, 5000)] {
            assert_eq!(mix.shares().iter().sum::<u32>(), 10_000, "{mix:?}");
            assert_eq!(mix.shares()[..6].iter().sum::<u32>(), browsing, "{mix:?}");
        }
    }

    #[test]
    fn draws_follow_the_shares() {
        for mix in [Mix::Browsing, Mix::Shopping, Mix::Ordering] {
            let mut random = Random::new(1, 2, 3);
            let mut drawn = [0i64; 14];
            const DRAWS: i64 = 200_000;
            for _ in 0..DRAWS {
                drawn[mix.draw(&mut random) as usize] += 1;
            }
            for (interaction, share) in Interaction::ALL.into_iter().zip(mix.shares()) {
                let expected = i64::from(share) * DRAWS / 10_000;
                let off = (drawn[interaction as usize] - expected).abs();
                // Five standard deviations.
                assert!(off * off <= 25 * expected, "{mix:?} {interaction:?}: {off} of {expected}");
            }
        }
    }
}
