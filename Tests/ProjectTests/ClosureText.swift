/// One closure that names its parameters, as text: enough for the rules about closures.
///
/// It leans on the formatter: a body stands either behind `in` on the same line, or on the lines below
/// that are indented deeper than the opening one.
struct ClosureText {
  /// Counted from 1.
  let line: Int
  /// What stands before the brace on its line.
  let call: String
  let hasCaptureList: Bool
  let parameters: [String]
  let body: String
  /// The body without the closures in it, which are judged by themselves.
  let ownBody: String

  /// Every such closure in lines of code, comments and texts taken out.
  static func all(in code: [String]) -> [ClosureText] {
    code.indices.flatMap { index -> [ClosureText] in
      guard code[index].utf8.contains(UInt8(ascii: "{")) else { return [] }
      let next = index + 1 < code.count ? code[index + 1] : ""
      // A long head goes to the line below its brace.
      let isSplit = code[index].hasSuffix("{") && next.hasSuffix(" in") && !next.contains("{")
      let head = isSplit ? code[index] + next : code[index]
      guard head.contains(" in") else { return [] }
      let below = lines(below: index, in: code, from: index + (isSplit ? 2 : 1))
      return head.matches(of: opening).compactMap { match in
        let names = parameters(String(match.output.2))
        guard names.first != "for" else { return nil }
        let rest = String(head[match.range.upperBound...])
        let isInline = rest.contains { $0 != " " }
        return ClosureText(
          line: index + 1, call: String(head[..<match.range.lowerBound]),
          hasCaptureList: match.output.1 != nil, parameters: names,
          body: isInline ? rest : below.joined(separator: "\n"),
          ownBody: isInline ? withoutClosures([rest]) : withoutClosures(below))
      }
    }
  }

  private static var opening: Regex<(Substring, Substring?, Substring)> {
    /\{\s*(?:@\w+\s*)*(\[[^\]]*\])?((?:[\w\s,:().?<>\[\]]|->)*?)\s*\bin\b/
  }

  private static func parameters(_ text: String) -> [String] {
    let list = text.prefix(upTo: text.firstRange(of: "->")?.lowerBound ?? text.endIndex)
    return list.split(separator: ",").compactMap { parameter in
      parameter.split { !($0.isLetter || $0.isNumber || $0 == "_") }.first.map(String.init)
    }
  }

  private static func indentation(_ line: String) -> Int? {
    line.firstIndex { $0 != " " }.map { line.distance(from: line.startIndex, to: $0) }
  }

  private static func lines(below index: Int, in code: [String], from first: Int) -> [String] {
    guard first < code.count, let outer = indentation(code[index]) else { return [] }
    return Array(code[first...].prefix { indentation($0).map { $0 > outer } ?? true })
  }

  private static func withoutClosures(_ lines: [String]) -> String {
    var kept: [String] = []
    var inner: Int?
    for line in lines {
      if let limit = inner, indentation(line).map({ $0 > limit }) ?? true { continue }
      inner = nil
      guard line.contains("{"), line.contains(" in"), let match = line.firstMatch(of: opening),
        !match.output.2.contains(/^\s*for\s/)
      else {
        kept.append(line)
        continue
      }
      kept.append(String(line[..<match.range.lowerBound]))
      if line.hasSuffix(" in") { inner = indentation(line) }
    }
    return kept.joined(separator: "\n")
  }
}
