//! The commands of Nushell that are bound: deterministic, without side effects, reading nothing of the host.
use nu_cmd_lang as l;
use nu_command as n;
use nu_protocol::engine::StateWorkingSet;

macro_rules! declare {
    ($ws:expr; $($c:expr),* $(,)?) => {{ $( $ws.add_decl(Box::new($c)); )* }};
}

/// Left out on purpose: what absent.rs lists. `wrap` (the filter) is shadowed in part by nuka's `wrap exe`, a name of two words.
pub fn bind(ws: &mut StateWorkingSet) {
    declare! { ws;
        l::Attr, l::AttrCategory, l::AttrDeprecated, l::AttrExample, l::AttrSearchTerms,
        l::Break, l::Collect, l::Const, l::Continue, l::Def, l::Describe, l::Do, l::Echo, l::Error, l::ErrorMake,
        l::ExportCommand, l::ExportConst, l::ExportDef, l::ExportUse, l::ExportModule, l::For, l::If, l::Ignore, l::Let, l::Loop,
        l::Match, l::Module, l::Mut, l::Return, l::Try, l::Use, l::While,
    }
    declare! { ws;
        n::All, n::Any, n::Append, n::ChunkBy, n::Chunks, n::Columns, n::Compact, n::Default, n::Difference, n::Drop, n::DropColumn,
        n::DropNth, n::Each, n::Enumerate, n::Every, n::Filter, n::Find, n::First, n::Flatten, n::Get, n::GroupBy, n::Headers,
        n::Insert, n::Intersect, n::IsEmpty, n::IsNotEmpty, n::Items, n::Join, n::Last, n::Length, n::Lines, n::Merge,
        n::MergeDeep, n::Move, n::Prepend, n::Reduce, n::Reject, n::Rename, n::Reverse, n::Select, n::Skip, n::SkipUntil,
        n::SkipWhile, n::Slice, n::Sort, n::SortBy, n::SplitList, n::Take, n::TakeUntil, n::TakeWhile, n::Transpose, n::Union, n::Uniq,
        n::UniqBy, n::Update, n::Upsert, n::Values, n::Where, n::Window, n::Wrap, n::Zip, n::Generate, n::Seq, n::SeqChar,
    }
    declare! { ws;
        n::Path, n::PathBasename, n::PathDirname, n::PathJoin, n::PathParse, n::PathRelativeTo, n::PathSelf, n::PathSplit,
        n::Char, n::Decode, n::DecodeBase32, n::DecodeBase64, n::DecodeHex, n::Encode, n::EncodeBase32, n::EncodeBase64, n::EncodeHex,
        n::Detect, n::DetectColumns, n::Parse, n::Split, n::SplitCellPath, n::SplitChars, n::SplitColumn, n::SplitRow, n::SplitWords,
        n::Str, n::StrCapitalize, n::StrContains, n::StrDistance, n::StrDowncase, n::StrEndswith, n::StrEscapeRegex, n::StrExpand,
        n::StrIndexOf, n::StrJoin, n::StrLength, n::StrLowercase, n::StrReplace, n::StrReverse, n::StrStartsWith, n::StrStats,
        n::StrSubstring, n::StrTrim, n::StrUpcase, n::StrUppercase, n::Fill, n::Format, n::FormatDuration, n::FormatFilesize,
    }
    declare! { ws;
        n::From, n::FromCsv, n::FromJson, n::FromNuon, n::FromSsv, n::FromToml, n::FromTsv, n::FromXml, n::FROM_YAML, n::FROM_YML,
        n::To, n::ToCsv, n::ToJson, n::ToMd, n::ToNuon, n::TO_TEXT, n::ToToml, n::ToTsv, n::ToXml, n::TO_YAML, n::TO_YML,
        n::Into, n::IntoBinary, n::IntoBool, n::IntoCellPath, n::IntoDuration, n::IntoFilesize, n::IntoFloat, n::IntoGlob, n::IntoInt,
        n::IntoRecord, n::IntoSemver, n::IntoSemverRange, n::IntoString, n::IntoValue, n::Semver, n::SemverBump,
    }
    declare! { ws;
        n::Math, n::MathAbs, n::MathAvg, n::MathCeil, n::MathFloor, n::MathLog, n::MathMax, n::MathMedian, n::MathMin, n::MathMode,
        n::MathProduct, n::MathRound, n::MathSqrt, n::MathSum,
        n::Bytes, n::BytesAdd, n::BytesAt, n::BytesBuild, n::BytesCollect, n::BytesEndsWith, n::BytesIndexOf, n::BytesLen,
        n::BytesRemove, n::BytesReplace, n::BytesReverse, n::BytesSplit, n::BytesStartsWith,
        n::Hash, n::HashMd5::default(), n::HashSha256::default(),
        n::Url, n::UrlBuildQuery, n::UrlDecode, n::UrlEncode, n::UrlJoin, n::UrlParse, n::UrlSplitQuery,
        n::Metadata, n::MetadataAccess, n::MetadataSet, n::WithEnv, n::LoadEnv,
    }
}
