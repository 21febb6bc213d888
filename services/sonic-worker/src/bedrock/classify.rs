//! Which [`Failure`] an error of the service is: by its type, and by its text where the type says little.

use crate::nova::Failure;

/// An error in the service's words.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ServiceError<'a> {
    /// The name of its type, such as `ThrottlingException`, first letter in either case.
    pub(super) name: Option<&'a str>,
    /// The HTTP status, if that came with it.
    pub(super) status: Option<u16>,
    /// Its text.
    pub(super) message: &'a str,
}

/// Texts, in lower case, of errors whose type does not say what happened. Prefixes such as `RequestId=… :` vary.
const TEXTS: [(&str, Failure); 10] = [
    ("timed out waiting for audio bytes", Failure::Idle),
    ("internalerrorcode=532", Failure::Idle),
    ("internalerrorcode=531", Failure::Reset),
    ("rst_stream closed stream", Failure::Reset),
    ("system instability detected", Failure::Unstable),
    ("blocked by our content filters", Failure::Filtered),
    ("chat history is over max limit", Failure::HistoryTooLong),
    ("model identifier is invalid", Failure::NotFound),
    // Of a voice. That of a block is worded otherwise.
    ("received invalid id", Failure::NotFound),
    ("security token included in the request is expired", Failure::CredentialsExpired),
];

impl ServiceError<'_> {
    /// Why no stream was opened.
    pub(super) fn of_start(self) -> Failure {
        let kind = self.kind();
        // The type that ends a session by its age means something else before it has begun.
        if kind == Failure::SessionExpired { Failure::TimedOut } else { kind }
    }

    /// Why an open stream ended.
    pub(super) fn of_stream(self) -> Failure {
        self.kind()
    }

    fn kind(self) -> Failure {
        let by_name = self.name.and_then(by_name);
        let kind = by_name.or_else(|| self.status.map(by_status)).unwrap_or(Failure::Unknown);
        let says_little = [Failure::BadInput, Failure::ModelFailed, Failure::AccessDenied, Failure::Unknown];
        if says_little.contains(&kind) {
            self.by_text().unwrap_or(kind)
        } else if kind == Failure::Throttled && self.text().contains("per day") {
            // Waiting for seconds does not bring the next day.
            Failure::Quota
        } else {
            kind
        }
    }

    fn by_text(self) -> Option<Failure> {
        let text = self.text();
        TEXTS.iter().find(|(part, _)| text.contains(part)).map(|(_, failure)| *failure)
    }

    fn text(self) -> String {
        self.message.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
    }
}

fn by_name(name: &str) -> Option<Failure> {
    let name = name.to_lowercase();
    Some(match name.strip_suffix("exception").unwrap_or(&name) {
        "throttling" | "modelnotready" => Failure::Throttled,
        "servicequotaexceeded" => Failure::Quota,
        "internalserver" | "serviceunavailable" => Failure::Unavailable,
        "modelerror" | "modelstreamerror" => Failure::ModelFailed,
        "modeltimeout" => Failure::SessionExpired,
        "validation" => Failure::BadInput,
        "resourcenotfound" => Failure::NotFound,
        "expiredtoken" => Failure::CredentialsExpired,
        "accessdenied"
        | "incompletesignature"
        | "invalidclienttokenid"
        | "invalidsignature"
        | "missingauthenticationtoken"
        | "signaturedoesnotmatch"
        | "unrecognizedclient" => Failure::AccessDenied,
        _ => return None,
    })
}

/// Errors outside the model, such as a gateway's page, tell themselves by status only.
fn by_status(status: u16) -> Failure {
    match status {
        429 => Failure::Throttled,
        401 | 403 => Failure::AccessDenied,
        404 => Failure::NotFound,
        408 => Failure::TimedOut,
        500..=599 => Failure::Unavailable,
        _ => Failure::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nova::Remedy;

    fn stream(name: &str, message: &str) -> Failure {
        ServiceError { name: Some(name), status: None, message }.of_stream()
    }

    fn start(name: &str, status: u16, message: &str) -> Failure {
        ServiceError { name: Some(name), status: Some(status), message }.of_start()
    }

    #[test]
    fn each_type_of_error_in_a_stream_has_its_remedy() {
        let rows = [
            ("internalServerException", Failure::Unavailable, Remedy::Elsewhere),
            ("modelStreamErrorException", Failure::ModelFailed, Remedy::Later),
            ("validationException", Failure::BadInput, Remedy::OnceMore),
            ("throttlingException", Failure::Throttled, Remedy::Later),
            ("modelTimeoutException", Failure::SessionExpired, Remedy::Renew),
            ("serviceUnavailableException", Failure::Unavailable, Remedy::Elsewhere),
            ("ExpiredTokenException", Failure::CredentialsExpired, Remedy::Later),
            ("invalidSignatureException", Failure::AccessDenied, Remedy::GiveUp),
            ("somethingNewException", Failure::Unknown, Remedy::OnceMore),
        ];
        for (name, failure, remedy) in rows {
            let found = stream(name, "as it happens");
            assert_eq!((found, found.remedy()), (failure, remedy), "{name}");
        }
    }

    #[test]
    fn each_type_of_error_of_a_start_has_its_remedy() {
        let rows = [
            ("AccessDeniedException", 403, Failure::AccessDenied, Remedy::GiveUp),
            ("InternalServerException", 500, Failure::Unavailable, Remedy::Elsewhere),
            ("ModelErrorException", 424, Failure::ModelFailed, Remedy::Later),
            ("ModelNotReadyException", 429, Failure::Throttled, Remedy::Later),
            ("ModelStreamErrorException", 424, Failure::ModelFailed, Remedy::Later),
            ("ModelTimeoutException", 408, Failure::TimedOut, Remedy::Elsewhere),
            ("ResourceNotFoundException", 404, Failure::NotFound, Remedy::GiveUp),
            ("ServiceQuotaExceededException", 400, Failure::Quota, Remedy::Elsewhere),
            ("ServiceUnavailableException", 503, Failure::Unavailable, Remedy::Elsewhere),
            ("ThrottlingException", 429, Failure::Throttled, Remedy::Later),
            ("ValidationException", 400, Failure::BadInput, Remedy::OnceMore),
            ("ExpiredTokenException", 403, Failure::CredentialsExpired, Remedy::Later),
            ("UnrecognizedClientException", 403, Failure::AccessDenied, Remedy::GiveUp),
            ("BadGateway", 502, Failure::Unavailable, Remedy::Elsewhere),
            ("ImATeapot", 418, Failure::Unknown, Remedy::OnceMore),
        ];
        for (name, status, failure, remedy) in rows {
            let found = start(name, status, "as it happens");
            assert_eq!((found, found.remedy()), (failure, remedy), "{name}");
        }
    }

    #[test]
    fn each_known_text_of_a_validation_exception_has_its_remedy() {
        let idle = |limit: u32| {
            format!(
                "Timed out waiting for audio bytes or interactive content. Please ensure gaps between audio bytes and \
                 interactive content are less than {limit} seconds"
            )
        };
        let (idle, longer_idle) = (idle(55), idle(295));
        let (renew, bug) = (Remedy::Renew, (Failure::BadInput, Remedy::OnceMore));
        let rows = [
            (idle.as_str(), (Failure::Idle, renew)),
            (longer_idle.as_str(), (Failure::Idle, renew)),
            ("InternalErrorCode=531::RST_STREAM closed stream. HTTP/2 error code: NO_ERROR", (Failure::Reset, renew)),
            ("RST_STREAM closed stream. HTTP/2 error code: NO_ERROR", (Failure::Reset, renew)),
            ("InternalErrorCode=532", (Failure::Idle, renew)),
            ("System instability detected. Please retry your request.", (Failure::Unstable, Remedy::Later)),
            ("Invalid input request, please fix your input and try again.", bug),
            ("Tool Response parsing error", bug),
            ("Unable to parse input chunk", bug),
            ("Chat history should be sent completely before streaming audio.", bug),
            (
                "Chat history is over max limit. Trim chat history and try again.",
                (Failure::HistoryTooLong, Remedy::Shorten),
            ),
            ("Duplicate SYSTEM content. SYSTEM content can only be provided once per prompt", bug),
            ("All contents must be closed before ending prompt", bug),
            ("Cannot end content [c-1] as no content data was received", bug),
            ("Prompt [p-1] must have at least one audio content", bug),
            ("Received invalid id: 'Matthew'", (Failure::NotFound, Remedy::GiveUp)),
            ("This request has been blocked by our content filters.", (Failure::Filtered, Remedy::Rephrase)),
            ("The provided model identifier is invalid.", (Failure::NotFound, Remedy::GiveUp)),
            ("nobody has ever read this", bug),
        ];
        for (text, expected) in rows {
            let spellings = [
                text.to_owned(),
                text.to_uppercase(),
                format!("RequestId=2f1c8a52-0000-4000-8000-000000000000 : {text}"),
                format!("RequestId=2f1c8a52-0000-4000-8000-000000000000 : Error(s):\nError 1 : {text}"),
                text.replace(' ', "\n "),
            ];
            for text in spellings {
                let found = stream("validationException", &text);
                assert_eq!((found, found.remedy()), expected, "{text}");
                assert_eq!(start("ValidationException", 400, &text), found, "{text}");
            }
        }
    }

    #[test]
    fn a_type_that_says_little_is_told_by_its_text() {
        let instability = "System instability detected. Please retry your request.";
        assert_eq!(stream("modelStreamErrorException", instability), Failure::Unstable);
        assert_eq!(stream("somethingNewException", "InternalErrorCode=531::RST_STREAM closed stream"), Failure::Reset);
        let expired = "The security token included in the request is expired";
        assert_eq!(start("AccessDeniedException", 403, expired), Failure::CredentialsExpired);
        assert_eq!(ServiceError { message: "InternalErrorCode=532", ..Default::default() }.of_stream(), Failure::Idle);
    }

    #[test]
    fn a_type_that_says_enough_is_not_told_by_its_text() {
        assert_eq!(stream("throttlingException", "InternalErrorCode=532"), Failure::Throttled);
    }

    #[test]
    fn a_days_quota_is_not_waited_for_like_a_moments_throttling() {
        let text = "Too many tokens per day, please wait before trying again.";
        assert_eq!(start("ThrottlingException", 429, text), Failure::Quota);
        assert_eq!(stream("throttlingException", text), Failure::Quota);
    }

    #[test]
    fn an_error_without_a_name_is_told_by_its_status() {
        for (status, failure) in [
            (429, Failure::Throttled),
            (401, Failure::AccessDenied),
            (404, Failure::NotFound),
            (408, Failure::TimedOut),
            (502, Failure::Unavailable),
            (302, Failure::Unknown),
        ] {
            let error = ServiceError { status: Some(status), ..Default::default() };
            assert_eq!(error.of_start(), failure, "{status}");
        }
    }
}
