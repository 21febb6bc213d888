use aws_config::{
    BehaviorVersion, Region, SdkConfig, meta::region::RegionProviderChain, profile::ProfileFileRegionProvider,
};
use aws_credential_types::provider::ProvideCredentials;
use aws_smithy_http_client::tls;
use tracing::warn;

pub(super) const DEFAULT_REGION: &str = "us-east-1";

/// Credentials as AWS users expect: the SDK's default chain (environment, profiles, SSO, web identity, ECS and EKS
/// roles). The region is the one given, else the profile's, else `us-east-1`.
///
/// Logs a warning when there are no credentials, which is not fatal: they may come later, and the caller of a call that
/// comes before hears an apology.
pub async fn sdk_config(region: Option<String>) -> SdkConfig {
    let region = RegionProviderChain::first_try(region.map(Region::new))
        .or_else(ProfileFileRegionProvider::new())
        .or_else(DEFAULT_REGION);
    // For the credentials' own requests (STS, SSO, ECS, EKS); sessions have their own client.
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
        .build_https();
    let sdk = aws_config::defaults(BehaviorVersion::v2026_01_12()).region(region).http_client(http).load().await;
    warn_without_credentials(&sdk).await;
    sdk
}

async fn warn_without_credentials(sdk: &SdkConfig) {
    let found = match sdk.credentials_provider() {
        Some(provider) => provider.provide_credentials().await.is_ok(),
        None => false,
    };
    if !found {
        warn!("no AWS credentials found: calls are refused until there are (environment, profile, ECS or EKS role)");
    }
}
