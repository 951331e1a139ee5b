//! The third part of the story: a restarted Envoy has forgotten its trust bundle and is given it again.

use crate::tell::Teller;
use scbte_host_tests::fixture::{AUDIENCE, Error, Request, Stack, eventually};
use std::time::{Duration, Instant};

/// The promise: how long after it is ready an Envoy admits the first good call.
const SERVED_WITHIN: Duration = Duration::from_secs(2);

/// Restarts Envoy and tells how long it took until a good call was served.
pub(crate) async fn tell(stack: &mut Stack, teller: &mut Teller) -> Result<(), Error> {
    teller.title("Envoy restarts");
    let began = Instant::now();
    stack.stop_envoy()?;
    stack.start_envoy().await?;
    let ready = Instant::now();
    let token = stack.companion()?.token(AUDIENCE, "read:users").await?;
    let request = Request::get("/api/v1/users").bearer(&token);
    eventually("a good call to be served", SERVED_WITHIN * 5, async || {
        let response = stack.send(&request).await?;
        Ok(if response.status == 200 { Ok(()) } else { Err(format!("{} {}", response.status, response.text())) })
    })
    .await?;
    let (served, down) = (ready.elapsed(), ready - began);
    let text = format!(
        "{}  served again {:.1} s after Envoy was ready ({:.1} s to restart it)",
        request.line(),
        served.as_secs_f64(),
        down.as_secs_f64(),
    );
    teller.line(served <= SERVED_WITHIN, &text);
    Ok(())
}
