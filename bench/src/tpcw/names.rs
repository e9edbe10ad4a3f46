//! Words of the shop: subjects, countries with their currencies, and the specification's way to make a name of a number.

/// What books are about (clause 4.7).
pub const SUBJECTS: [&str; 24] = [
    "ARTS",
    "BIOGRAPHIES",
    "BUSINESS",
    "CHILDREN",
    "COMPUTERS",
    "COOKING",
    "HEALTH",
    "HISTORY",
    "HOME",
    "HUMOR",
    "LITERATURE",
    "MYSTERY",
    "NON-FICTION",
    "PARENTING",
    "POLITICS",
    "REFERENCE",
    "RELIGION",
    "ROMANCE",
    "SELF-HELP",
    "SCIENCE-NATURE",
    "SCIENCE-FICTION",
    "SPORTS",
    "YOUTH",
    "TRAVEL",
];

/// The 92 countries and their money.
pub const COUNTRIES: [(&str, &str); 92] = [
    ("United States", "Dollars"),
    ("United Kingdom", "Pounds"),
    ("Canada", "Dollars"),
    ("Germany", "Euros"),
    ("France", "Euros"),
    ("Japan", "Yen"),
    ("Netherlands", "Euros"),
    ("Italy", "Euros"),
    ("Switzerland", "Francs"),
    ("Australia", "Dollars"),
    ("Algeria", "Dinars"),
    ("Argentina", "Pesos"),
    ("Armenia", "Dram"),
    ("Austria", "Euros"),
    ("Azerbaijan", "Manat"),
    ("Bahamas", "Dollars"),
    ("Bahrain", "Dinar"),
    ("Bangladesh", "Taka"),
    ("Barbados", "Dollars"),
    ("Belarus", "Rubles"),
    ("Belgium", "Euros"),
    ("Bermuda", "Dollars"),
    ("Bolivia", "Boliviano"),
    ("Botswana", "Pula"),
    ("Brazil", "Real"),
    ("Bulgaria", "Lev"),
    ("Cayman Islands", "Dollars"),
    ("Chad", "Franc"),
    ("Chile", "Pesos"),
    ("China", "Yuan"),
    ("Colombia", "Pesos"),
    ("Croatia", "Euros"),
    ("Cyprus", "Euros"),
    ("Czechia", "Koruna"),
    ("Denmark", "Kroner"),
    ("Dominican Republic", "Pesos"),
    ("Eastern Caribbean", "Dollars"),
    ("Ecuador", "Dollars"),
    ("Egypt", "Pounds"),
    ("El Salvador", "Colon"),
    ("Estonia", "Euros"),
    ("Ethiopia", "Birr"),
    ("Falkland Islands", "Pounds"),
    ("Faroe Islands", "Kroner"),
    ("Fiji", "Dollars"),
    ("Finland", "Euros"),
    ("Gabon", "Franc"),
    ("Gibraltar", "Pounds"),
    ("Greece", "Euros"),
    ("Guam", "Dollars"),
    ("Hong Kong", "Dollars"),
    ("Hungary", "Forint"),
    ("Iceland", "Krona"),
    ("India", "Rupees"),
    ("Indonesia", "Rupiah"),
    ("Iran", "Rial"),
    ("Iraq", "Dinar"),
    ("Ireland", "Euros"),
    ("Israel", "Shekels"),
    ("Jamaica", "Dollars"),
    ("Jordan", "Dinar"),
    ("Kazakhstan", "Tenge"),
    ("Kuwait", "Dinar"),
    ("Lebanon", "Pounds"),
    ("Luxembourg", "Euros"),
    ("Malaysia", "Ringgit"),
    ("Mexico", "Pesos"),
    ("Mauritius", "Rupees"),
    ("New Zealand", "Dollars"),
    ("Norway", "Kroner"),
    ("Pakistan", "Rupees"),
    ("Philippines", "Pesos"),
    ("Poland", "Zloty"),
    ("Portugal", "Euros"),
    ("Romania", "Leu"),
    ("Russia", "Rubles"),
    ("Saudi Arabia", "Riyal"),
    ("Singapore", "Dollars"),
    ("Slovakia", "Euros"),
    ("South Africa", "Rand"),
    ("South Korea", "Won"),
    ("Spain", "Euros"),
    ("Sudan", "Dinar"),
    ("Sweden", "Krona"),
    ("Taiwan", "Dollars"),
    ("Trinidad", "Dollars"),
    ("Thailand", "Baht"),
    ("Turkey", "Lira"),
    ("Venezuela", "Bolivar"),
    ("Vietnam", "Dong"),
    ("Zambia", "Kwacha"),
    ("Zimbabwe", "Dollars"),
];

/// The specification's DigSyl: a syllable per decimal digit, so that a number has a name and a name its number.
pub fn digit_syllables(n: i32) -> String {
    const SYLLABLES: [&str; 10] = ["BA", "OG", "AL", "RI", "RE", "SE", "AT", "UL", "IN", "NG"];
    n.to_string()
        .bytes()
        .filter_map(|digit| SYLLABLES.get(usize::from(digit.wrapping_sub(b'0'))))
        .copied()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ() {
        let names: std::collections::BTreeSet<&str> = COUNTRIES.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), 92);
        assert_eq!(digit_syllables(1_907), "OGNGBAUL");
    }
}
