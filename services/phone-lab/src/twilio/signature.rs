//! `X-Twilio-Signature`: the base64 HMAC-SHA1, under the account's auth token, of the URL as Twilio requests it and,
//! for a form POST, of the parameters after it (Twilio docs, "Security").

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// The signature of a request whose parameters, if any, are all in its URL: a GET, or a socket's upgrade.
pub fn of_url(auth_token: &str, url: &str) -> String {
    of_form(auth_token, url, &[])
}

/// The signature of a form POST: names sorted by their bytes, each distinct value of a name once, nothing in between.
pub fn of_form(auth_token: &str, url: &str, form: &[(String, String)]) -> String {
    let mut pairs: Vec<_> = form.iter().collect();
    pairs.sort();
    pairs.dedup();
    let mut mac = Hmac::<Sha1>::new_from_slice(auth_token.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(url.as_bytes());
    for (name, value) in pairs {
        mac.update(name.as_bytes());
        mac.update(value.as_bytes());
    }
    STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://mycompany.com/myapp.php?foo=1&bar=2";

    fn signed(url: &str, form: &[(&str, &str)]) -> String {
        let form: Vec<_> = form.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        of_form("12345", url, &form)
    }

    #[test]
    fn the_published_vectors_come_out() {
        let form = [
            ("CallSid", "CA1234567890ABCDE"),
            ("Caller", "+14158675309"),
            ("Digits", "1234"),
            ("From", "+14158675309"),
            ("To", "+18005551212"),
        ];
        assert_eq!(signed(URL, &form), "RSOYDt4T1cUTdK1PDd93/VVr8B8=");
        assert_eq!(signed("http://mycompany.com:1234/myapp.php?foo=1&bar=2", &form), "Zmvh+3yNM1Phv2jhDCwEM3q5ebU=");
    }

    #[test]
    fn a_repeated_name_counts_each_of_its_values_once() {
        let form =
            [("Sid", "CA123"), ("SidAccount", "AC123"), ("Digits", "5678"), ("Digits", "1234"), ("Digits", "1234")];
        assert_eq!(signed(URL, &form), "IK+Dwps556ElfBT0I3Rgjkr1wJU=");
    }

    #[test]
    fn names_are_sorted_by_byte_and_blank_or_foreign_values_count() {
        let url = "https://voice.example.com/twilio/voice";
        assert_eq!(signed(url, &[("a", "1"), ("B", "2"), ("A", "3"), ("_z", "4")]), "nTFrza8Kb/5I1b+D1Y9HEUkqLKI=");
        let call = "CA00000000000000000000000000000001";
        assert_eq!(signed(url, &[("CallerName", "Café Größe ☎"), ("CallSid", call)]), "DXI3v/2V+VrjaCErpyeUYwg9STY=");
        let blank = [
            ("CallSid", call),
            ("AccountSid", "AC00000000000000000000000000000001"),
            ("FromCity", ""),
            ("FromZip", ""),
            ("CallStatus", "ringing"),
            ("From", "+15005550006"),
            ("To", "+15005550009"),
        ];
        assert_eq!(signed(url, &blank), "ouIclJWcZEqBZnJCy3C3a7cIfkU=");
    }

    #[test]
    fn an_upgrade_is_signed_by_its_wss_url_alone() {
        assert_eq!(of_url("12345", "wss://voice.example.com/media"), "jFDHVhI8XO69C49uXR3xmdZPylY=");
        assert_eq!(of_url("12345", "wss://voice.example.com:8443/media"), "v5v5K44oP2LP16SojRpsMcloC/I=");
    }
}
