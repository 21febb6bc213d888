//! Why Twilio refuses a request (Twilio docs, error dictionary).

/// An answer that says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Twilio refuses: {}", self.text())]
pub struct Refused {
    /// Of the HTTP answer.
    pub status: u16,
    /// Twilio's own, if the answer had one.
    pub code: Option<u32>,
}

/// What Twilio's code means for whoever has to do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// API key, secret and account do not go together, or the key may not do this.
    Credentials,
    /// The account is not active.
    AccountInactive,
    /// Test credentials do not do this.
    TestCredentials,
    /// The account makes no international calls.
    NoInternationalCalls,
    /// The calling number is not the account's, or none.
    CallerId,
    /// The called number is none.
    NotANumber,
    /// The called number cannot be reached.
    CannotBeReached,
    /// The account may not call this country.
    NoPermissionForCountry,
    /// The called number is on a block list.
    Blocked,
    /// A trial account calls only numbers that were verified.
    NotVerified,
    /// The call's state forbids it.
    CallState,
    /// What goes with a SIP address is too long or wrong.
    SipAddress,
    /// Twilio found a mistake in the request that its sender cannot have made: it is ours.
    Request,
    /// None that is known here.
    Other,
}

impl Refused {
    /// What the code means.
    pub fn reason(self) -> Reason {
        match self.code {
            Some(20003) => Reason::Credentials,
            Some(10001 | 20005) => Reason::AccountInactive,
            Some(20008) => Reason::TestCredentials,
            Some(21203) => Reason::NoInternationalCalls,
            Some(21210 | 21212 | 21213) => Reason::CallerId,
            Some(21201 | 21211 | 21217) => Reason::NotANumber,
            Some(21214) => Reason::CannotBeReached,
            Some(21215) => Reason::NoPermissionForCountry,
            Some(21216) => Reason::Blocked,
            Some(21219) => Reason::NotVerified,
            Some(21220) => Reason::CallState,
            Some(21221..=21228) => Reason::SipAddress,
            Some(20001 | 20004 | 20404 | 21205 | 21206 | 21208 | 21209 | 21218 | 21609 | 32018) => Reason::Request,
            Some(_) | None if self.status == 401 => Reason::Credentials,
            Some(_) | None => Reason::Other,
        }
    }

    fn text(self) -> String {
        let Self { status, code } = self;
        code.map_or_else(|| format!("status {status}"), |code| format!("status {status}, code {code}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_documented_code_has_a_meaning() {
        let reason = |code| Refused { status: 400, code: Some(code) }.reason();
        for code in [10001, 20003, 20005, 20008, 21201, 21203, 21205, 21206, 21208, 21209, 21210, 21211, 21212, 21213] {
            assert_ne!(reason(code), Reason::Other, "{code}");
        }
        for code in (21214..=21228).chain([21609, 32018]) {
            assert_ne!(reason(code), Reason::Other, "{code}");
        }
        assert_eq!(reason(21215), Reason::NoPermissionForCountry);
        assert_eq!(reason(29999), Reason::Other);
        assert_eq!(Refused { status: 401, code: None }.reason(), Reason::Credentials);
    }
}
