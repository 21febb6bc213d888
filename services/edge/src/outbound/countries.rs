//! Country calling codes (ITU-T E.164): one digit, two, or else three.

/// Of two digits. The zones 1 and 7 have one digit, all other codes three.
const TWO_DIGITS: &[&str] = &[
    "20", "27", "30", "31", "32", "33", "34", "36", "39", "40", "41", "43", "44", "45", "46", "47", "48", "49", "51",
    "52", "53", "54", "55", "56", "57", "58", "60", "61", "62", "63", "64", "65", "66", "81", "82", "84", "86", "90",
    "91", "92", "93", "94", "95", "98",
];

/// The calling code that a number in E.164 begins with, with its plus. +1 is all of North America and much of the Caribbean,
/// +7 Russia and Kazakhstan.
pub(super) fn calling_code(number: &str) -> &str {
    let digits = number.trim_start_matches('+');
    let length = match digits.get(..2) {
        Some(two) if two.starts_with(['1', '7']) => 1,
        Some(two) if TWO_DIGITS.contains(&two) => 2,
        Some(_) | None => 3,
    };
    number.get(..=length).unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_begins_with_the_code_of_its_country() {
        for (number, code) in [
            ("+15550100001", "+1"),
            ("+18765550100", "+1"),
            ("+74955550100", "+7"),
            ("+201005550100", "+20"),
            ("+442071838750", "+44"),
            ("+4930555010", "+49"),
            ("+353155501", "+353"),
            ("+3545550100", "+354"),
            ("+2119555010", "+211"),
            ("+59825550", "+598"),
            ("+6705550100", "+670"),
            ("+85255501000", "+852"),
            ("+88155501000", "+881"),
            ("+97155501000", "+971"),
            ("+99255501000", "+992"),
            ("+12", "+1"),
        ] {
            assert_eq!(calling_code(number), code, "{number}");
        }
    }

    #[test]
    fn no_code_begins_with_another() {
        assert!(TWO_DIGITS.is_sorted());
        assert!(TWO_DIGITS.iter().all(|code| code.len() == 2 && !code.starts_with(['0', '1', '7'])));
    }
}
