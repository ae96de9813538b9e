import Testing

@testable import messaging_hub

@Suite("Arguments of a command")
struct ArgumentsTests {
  private let options = [
    OptionSpecification("user", "ID", "who"), OptionSpecification("json", nil, "as JSON"),
    OptionSpecification("count", "N", "how many"),
  ]

  private func parse(_ words: String...) throws(UsageError) -> Arguments {
    try Arguments(parsing: words, options: options, positionalsMax: 2)
  }

  @Test("options, flags and words may stand in any order")
  func mixed() throws {
    let arguments = try parse("list", "--user", "anna", "--json", "dead", "--count=3")
    #expect(arguments.positionals == ["list", "dead"])
    #expect(arguments["user"] == "anna")
    #expect(arguments.has("json"))
    #expect(try arguments.integer("count", in: 1...5, default: 1) == 3)
    #expect(arguments.droppingFirst().positionals == ["dead"])
  }

  @Test("a value may be empty, hold an equals sign or begin with a dash")
  func values() throws {
    #expect(try parse("--user=")["user"] == "")
    #expect(try parse("--user=a=b")["user"] == "a=b")
    #expect(try parse("--user", "-x")["user"] == "-x")
  }

  @Test("after -- nothing is an option")
  func end() throws {
    #expect(try parse("--", "--json", "-h").positionals == ["--json", "-h"])
  }

  @Test("--help is understood everywhere", arguments: ["-h", "--help"])
  func help(word: String) throws {
    #expect(try parse("a", "b", "c", word).has("help"))
  }

  @Test(
    "what is not understood is named",
    arguments: [
      (["--nothing"], "there is no option --nothing"), (["-x"], "there is no option -x"),
      (["--user"], "--user needs a value"), (["--json=1"], "--json takes no value"),
      (["--json", "--json"], "--json is given twice"),
      (["--user", "a", "--user=b"], "--user is given twice"), (["a", "b", "c"], "'c' is one word too many"),
    ])
  func faults(words: [String], text: String) {
    var refused: UsageError?
    do {
      _ = try Arguments(parsing: words, options: options, positionalsMax: 2)
    } catch {
      refused = error
    }
    #expect(refused?.description == text)
  }

  @Test("numbers are whole and in range", arguments: ["x", "0", "6", "1.5", ""])
  func numbers(text: String) throws {
    let arguments = try parse("--count", text)
    #expect(throws: UsageError.self) { try arguments.integer("count", in: 1...5, default: 1) }
  }

  @Test("what is missing is named")
  func missing() throws {
    let arguments = try parse()
    #expect(throws: UsageError("--user is needed")) { try arguments.required("user") }
    #expect(throws: UsageError("<id> is missing")) { try arguments.positional(0, "<id>") }
    #expect(try arguments.integer("count", in: 1...5, default: 2) == 2)
  }
}
