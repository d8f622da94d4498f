//! What must not compile, and what the compiler says then.

#[test]
fn holes_and_changed_shapes_do_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/compile/*.rs");
}
