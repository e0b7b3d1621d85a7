//! The memory interface: requests come in through `nk_call`, questions to the Go side go out through `nuka.host`.
//! Every message is one JSON object; values of the language travel in it as canonical NUON text.
use nu_protocol::{ShellError, Span, shell_error::generic::GenericError};
use serde_json::Value as Json;

#[unsafe(no_mangle)]
pub extern "C" fn nk_alloc(n: usize) -> *mut u8 {
    give_raw(vec![0u8; n])
}

/// # Safety
/// `p` and `n` must come from `nk_alloc(n)` or be a buffer that `nk_call` returned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nk_free(p: *mut u8, n: usize) {
    drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(p, n)) });
}

fn give_raw(v: Vec<u8>) -> *mut u8 {
    let mut b = v.into_boxed_slice();
    let p = b.as_mut_ptr();
    std::mem::forget(b);
    p
}

/// Hands a buffer to the host as pointer and length in one number.
pub fn give(v: Vec<u8>) -> u64 {
    let n = v.len() as u64;
    ((give_raw(v) as u64) << 32) | n
}

#[link(wasm_import_module = "nuka")]
unsafe extern "C" {
    #[link_name = "host"]
    fn nuka_host(p: *const u8, n: usize) -> u64;
}

/// Why the host refused: what is wrong, what to do, and which field of the request it is about.
#[derive(Debug, Default)]
pub struct Refusal {
    pub msg: String,
    pub help: Option<String>,
    pub field: Option<String>,
}

impl Refusal {
    /// The refusal as an error of the language, shown at `span`.
    pub fn at(self, span: Span) -> ShellError {
        let e = GenericError::new(self.msg, "here", span);
        ShellError::Generic(match self.help {
            Some(h) => e.with_help(h),
            None => e,
        })
    }
}

/// Asks the host to do `op`. The reply is `{ok: …}` or `{err: {msg, help?, field?}}`.
pub fn call(op: &str, arg: Json) -> Result<Json, Refusal> {
    let refuse = |msg: String| Refusal { msg, ..Default::default() };
    let q = serde_json::to_vec(&serde_json::json!({"op": op, "arg": arg})).map_err(|e| refuse(e.to_string()))?;
    let r = unsafe { nuka_host(q.as_ptr(), q.len()) };
    let (p, n) = ((r >> 32) as usize as *mut u8, (r & 0xffff_ffff) as usize);
    if p.is_null() {
        return Err(refuse(format!("the host does not answer {op}")));
    }
    let b = unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(p, n)) };
    let mut v: Json = serde_json::from_slice(&b).map_err(|e| refuse(e.to_string()))?;
    match v.get("err") {
        Some(e) if !e.is_null() => {
            let text = |k: &str| e.get(k).and_then(Json::as_str).filter(|s| !s.is_empty()).map(str::to_string);
            Err(Refusal { msg: text("msg").unwrap_or_else(|| op.to_string()), help: text("help"), field: text("field") })
        }
        _ => Ok(v["ok"].take()),
    }
}
