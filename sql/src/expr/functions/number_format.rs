//! to_char and to_number: PostgreSQL's template patterns for numbers: 9 0 . , D G S MI PL SG PR L FM V EEEE and TH.
//!
//! A template is parsed into places for digits, and the digits are put into them. RN is refused.

use gemini_shadow_ops::{Numeric, Value};

use super::super::function::{Arg, Call, Function, pure};
use super::mistyped;
use super::to_char::suffix;
use crate::error::{Result, SqlError};
use crate::sqlstate;

use Arg::{Float4, Float8, Int4, Int8, Text};

pub(super) static FUNCTIONS: &[Function] = &[
    pure("to_char", &[Int4, Text], Text, number_to_char),
    pure("to_char", &[Int8, Text], Text, number_to_char),
    pure("to_char", &[Float4, Text], Text, number_to_char),
    pure("to_char", &[Float8, Text], Text, number_to_char),
    pure("to_char", &[Arg::Numeric, Text], Text, number_to_char),
    pure("to_number", &[Text, Text], Arg::Numeric, to_number),
];

/// A number template, parsed.
#[derive(Default, Debug)]
struct Template {
    /// Digit places and separators before the point: '9', '0', ',' or literal text.
    whole: Vec<Place>,
    fraction: Vec<Place>,
    point: Option<char>,
    sign: Sign,
    sign_first: bool,
    fill: bool,
    ordinal: Option<bool>,
    exponent: bool,
    shift: usize,
}

#[derive(Clone, Debug, PartialEq)]
enum Place {
    Nine,
    Zero,
    Group(char),
    Literal(char),
}

#[derive(Default, Clone, Copy, Debug, PartialEq)]
enum Sign {
    #[default]
    None,
    S,
    Mi,
    Pl,
    Sg,
    Pr,
}

fn parse_template(template: &str) -> Result<Template> {
    let mut out = Template { fill: true, ..Template::default() };
    let mut rest = template;
    let mut shifting = false;
    while let Some(c) = rest.chars().next() {
        let upper: String = rest.chars().take(4).collect::<String>().to_ascii_uppercase();
        let seen_digit =
            out.whole.iter().chain(&out.fraction).any(|p| matches!(p, Place::Nine | Place::Zero));
        let two = upper.get(..2).unwrap_or("");
        if upper == "EEEE" {
            out.exponent = true;
            rest = &rest[4..];
            continue;
        }
        let sign = match two {
            "FM" => {
                out.fill = false;
                rest = &rest[2..];
                continue;
            }
            "TH" => {
                out.ordinal = Some(rest.starts_with('T'));
                rest = &rest[2..];
                continue;
            }
            "MI" => Some(Sign::Mi),
            "PL" => Some(Sign::Pl),
            "SG" => Some(Sign::Sg),
            "PR" => Some(Sign::Pr),
            "RN" => return Err(SqlError::unsupported("to_char pattern \"RN\"", "Use digits.")),
            _ => None,
        };
        if let Some(sign) = sign {
            out.sign = sign;
            out.sign_first = !seen_digit;
            rest = &rest[2..];
            continue;
        }
        rest = &rest[c.len_utf8()..];
        let after_point = out.point.is_some();
        let places = if after_point { &mut out.fraction } else { &mut out.whole };
        match c {
            '9' | '0' if shifting => out.shift += 1,
            '9' => places.push(Place::Nine),
            '0' => places.push(Place::Zero),
            '.' | 'D' | 'd' if after_point => {
                return Err(SqlError::new(sqlstate::SYNTAX_ERROR, "multiple decimal points"));
            }
            '.' | 'D' | 'd' => out.point = Some('.'),
            ',' | 'G' | 'g' => places.push(Place::Group(',')),
            'S' | 's' => {
                out.sign = Sign::S;
                out.sign_first = !seen_digit;
            }
            'V' | 'v' => shifting = true,
            'L' | 'l' => places.push(Place::Literal(' ')),
            '"' => {
                let end = rest.find('"').unwrap_or(rest.len());
                places.extend(rest[..end].chars().map(Place::Literal));
                rest = rest.get(end + 1..).unwrap_or("");
            }
            other => places.push(Place::Literal(other)),
        }
    }
    Ok(out)
}

fn number_to_char(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let template = parse_template(args[1].as_text().ok_or_else(|| mistyped(call))?)?;
    let number = match &args[0] {
        Value::Float4(_) | Value::Float8(_) => {
            let f = args[0].as_f64().unwrap_or(0.0);
            if f.is_finite() {
                Numeric::parse(&format!(
                    "{f:.*}",
                    15usize.saturating_sub(f.abs().log10().max(0.0) as usize + 1)
                ))
                .unwrap_or(Numeric::NAN)
            } else {
                Numeric::NAN
            }
        }
        other => other.exact().ok_or_else(|| mistyped(call))?,
    };
    if template.exponent {
        return Ok(Value::text(exponential(&number, &template)));
    }
    Ok(Value::text(print_number(&number, &template)))
}

fn count(places: &[Place]) -> usize {
    places.iter().filter(|p| matches!(p, Place::Nine | Place::Zero)).count()
}

fn exponential(n: &Numeric, template: &Template) -> String {
    let digits = count(&template.fraction);
    let f = n.to_f64();
    let text = format!("{f:.digits$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let lead = if f < 0.0 || !template.fill { "" } else { " " };
    format!("{lead}{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

fn print_number(n: &Numeric, template: &Template) -> String {
    let decimals = count(&template.fraction);
    let shifted = if template.shift > 0 {
        n.mul(&Numeric::parse(&format!("1e{}", template.shift)).unwrap_or(Numeric::NAN))
    } else {
        n.clone()
    };
    let rounded = shifted.round(decimals as i64);
    let negative = rounded.is_negative();
    let magnitude = if negative { rounded.neg() } else { rounded };
    let text = magnitude.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let whole_places = count(&template.whole) + template.shift;
    let whole = if whole == "0" { "" } else { whole };
    let overflows = n.is_nan() || whole.len() > whole_places;
    let body = if overflows {
        let hashes = |places: &[Place]| -> String {
            places
                .iter()
                .map(|p| match p {
                    Place::Nine | Place::Zero => '#',
                    Place::Group(c) | Place::Literal(c) => *c,
                })
                .collect()
        };
        let point: String = template.point.into_iter().collect();
        hashes(&template.whole) + &"#".repeat(template.shift) + &point + &hashes(&template.fraction)
    } else {
        print_places(whole, fraction, template)
    };
    sign_body(body, negative, template, &magnitude)
}

/// The digits in their places: leading zeros blank (or left out under FM), separators only between digits.
fn print_places(whole: &str, fraction: &str, template: &Template) -> String {
    let mut places = template.whole.clone();
    places.extend(std::iter::repeat_n(Place::Nine, template.shift));
    let total = count(&places);
    let mut digits: Vec<char> = std::iter::repeat_n(' ', total - whole.len()).chain(whole.chars()).collect();
    // From the first 0 of the template on, zeros show; and the last place before a bare point, if nothing else does.
    let first_zero = {
        let mut at = None;
        let mut i = 0;
        for place in &places {
            match place {
                Place::Zero => {
                    at.get_or_insert(i);
                    i += 1;
                }
                Place::Nine => i += 1,
                _ => {}
            }
        }
        at
    };
    for (i, digit) in digits.iter_mut().enumerate() {
        if *digit == ' ' && first_zero.is_some_and(|z| i >= z) {
            *digit = '0';
        }
    }
    if whole.is_empty() && count(&template.fraction) == 0 && first_zero.is_none() && total > 0 {
        digits[total - 1] = '0';
    }
    let mut out = String::new();
    let mut i = 0;
    let mut started = false;
    for place in &places {
        match place {
            Place::Nine | Place::Zero => {
                started |= digits[i] != ' ';
                if digits[i] != ' ' || template.fill {
                    out.push(digits[i]);
                }
                i += 1;
            }
            Place::Group(c) if started => out.push(*c),
            Place::Group(_) if template.fill => out.push(' '),
            Place::Group(_) => {}
            Place::Literal(c) => out.push(*c),
        }
    }
    if template.point.is_some() {
        let mut shown: Vec<char> = fraction.chars().collect();
        let mut fraction_out = String::new();
        if !template.fill {
            // FM drops trailing zeros in 9 places.
            let kept = template.fraction.iter().rposition(|p| *p == Place::Zero).map_or(0, |i| i + 1);
            while shown.len() > kept && shown.last() == Some(&'0') {
                shown.pop();
            }
        }
        if shown.is_empty() && !started && !template.fill && !template.fraction.is_empty() {
            out.push('0'); // a lone point is no number
        }
        out.push('.');
        let mut next = shown.into_iter();
        for place in &template.fraction {
            match place {
                Place::Nine | Place::Zero => fraction_out.extend(next.next()),
                Place::Group(c) | Place::Literal(c) => fraction_out.push(*c),
            }
        }
        out.push_str(&fraction_out);
    }
    out
}

fn sign_body(body: String, negative: bool, template: &Template, magnitude: &Numeric) -> String {
    // The sign stands before the first digit, after literals and blanks.
    let is_digit = |p: &Place| matches!(p, Place::Nine | Place::Zero);
    let literals: usize = (template.whole.iter().take_while(|p| !is_digit(p)))
        .map(|p| if let Place::Literal(c) = p { c.len_utf8() } else { 0 })
        .sum();
    let after = body.get(literals..).unwrap_or("");
    let blanks = body.len() - after.trim_start_matches(' ').len();
    let anchored = |sign: &str| format!("{}{sign}{}", &body[..blanks], &body[blanks..]);
    let ordinal = match template.ordinal {
        Some(upper) if !negative => suffix(magnitude.to_i128().map_or(0, |n| (n % 1000) as i64), upper),
        _ => "",
    };
    let plain = if negative { "-" } else { "+" };
    let blank = if template.fill { " " } else { "" };
    let signed = match template.sign {
        Sign::None => anchored(if negative { "-" } else { blank }),
        Sign::S if template.sign_first => anchored(plain),
        Sign::S | Sign::Sg if !template.sign_first => format!("{body}{plain}"),
        Sign::Sg | Sign::S => format!("{plain}{body}"),
        Sign::Mi => {
            let mark = if negative { "-" } else { blank };
            if template.sign_first { format!("{mark}{body}") } else { format!("{body}{mark}") }
        }
        Sign::Pl => {
            let mark = if negative { blank } else { "+" };
            let minus = if negative { "-" } else { blank };
            if template.sign_first {
                format!("{mark}{}", anchored(minus))
            } else {
                format!("{}{mark}", anchored(minus))
            }
        }
        Sign::Pr if negative => format!("{}<{}>", &body[..blanks], &body[blanks..]),
        Sign::Pr => format!("{blank}{body}{blank}"),
    };
    signed + ordinal
}

/// Reads a number through a template: digits, sign and point where the template has places for them.
fn to_number(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let (Some(text), Some(pattern)) = (args[0].as_text(), args[1].as_text()) else {
        return Err(mistyped(call));
    };
    let template = parse_template(pattern)?;
    let (places, decimals) = (count(&template.whole) + template.shift, count(&template.fraction));
    let mut negative = false;
    let mut whole = String::new();
    let mut fraction = String::new();
    let mut after = false;
    for c in text.chars() {
        match c {
            '-' => negative = true,
            '<' if template.sign == Sign::Pr => negative = true,
            '.' if template.point.is_some() => after = true,
            d if d.is_ascii_digit() && after && fraction.len() < decimals => fraction.push(d),
            d if d.is_ascii_digit() && !after && whole.len() < places => whole.push(d),
            _ => {}
        }
    }
    if whole.is_empty() && fraction.is_empty() {
        return Err(super::super::text::invalid_input(" ", &gemini_shadow_ops::DataType::Numeric(None)));
    }
    let sign = if negative { "-" } else { "" };
    let read = Numeric::parse(&format!("{sign}{whole}.{fraction}")).unwrap_or(Numeric::NAN);
    let n = if template.shift > 0 {
        super::super::numeric::divide(
            &read,
            &Numeric::parse(&format!("1e{}", template.shift)).unwrap_or(Numeric::NAN),
        )?
    } else {
        read
    };
    Ok(Value::Numeric(n))
}
