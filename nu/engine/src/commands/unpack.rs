//! `unpack`: archives that come inside a source.
use super::{Spec, fail, paths};
use crate::host;
use nu_engine::command_prelude::*;

pub const TABLE: &[Spec] = &[Spec {
    name: "unpack", about: "Unpack an archive into a folder.",
    more: "Tar, also with gzip, xz, zstd or bzip2, and zip. The folder is made if need be; entries that lead out of it are refused.",
    eval: false, run: unpack,
    sign: |s| s.input_output_types(vec![(Type::Nothing, Type::Nothing)])
        .required("archive", SyntaxShape::Filepath, "The archive.")
        .named("to", SyntaxShape::Filepath, "The folder; the current one if not given.", None)
        .named("strip", SyntaxShape::Int, "How many leading folders to drop from the names.", None),
    examples: &[("unpack data.tar.gz --to data --strip 1", "Without the archive's one top folder.")],
}];

fn unpack(es: &EngineState, stack: &mut Stack, call: &Call, _: PipelineData) -> Result<PipelineData, ShellError> {
    let archive: Value = call.req(es, stack, 0)?;
    let from = paths::one(es, stack, &archive)?;
    let to = match call.get_flag::<Value>(es, stack, "to")? {
        Some(v) => paths::one(es, stack, &v)?,
        None => paths::cwd(es, stack),
    };
    let strip = call.get_flag::<i64>(es, stack, "strip")?.unwrap_or(0);
    if !(0..=32).contains(&strip) {
        return Err(fail(format!("--strip {strip} is not from 0 to 32"), call.head, ""));
    }
    std::fs::create_dir_all(&to).map_err(|e| paths::io(e, "make", &to, archive.span()))?;
    let arg = serde_json::json!({"archive": from.to_string_lossy(), "to": to.to_string_lossy(), "strip": strip});
    host::call("unpack", arg).map_err(|r| r.at(archive.span()))?;
    Ok(PipelineData::empty())
}
