/// The lines by which mail programs begin a quotation, in the languages of their makers.
enum QuotationMark {
  /// Lines over which an attribution may be broken.
  static let linesMax = 4
  private static let attributionBytesMax = 500
  private static let lineBytesMax = 300

  // MARK: Attribution

  /// How a line of the kind "On <date>, <somebody> wrote:" begins where the verb is not its last word.
  private static let starts = [
    "on ", "am ", "le ", "el ", "il ", "em ", "op ", "den ", "på ", "dne ", "w dniu ", "dnia ",
  ]
  private static let verbs = [
    "wrote", "schrieb", "a écrit", "escribió", "ha scritto", "escreveu", "schreef", "geschreven", "skrev",
    "kirjoitti", "napisał", "napisał(a)", "pisze", "napsal", "napsal(a)", "пишет", "написал", "написал(а)",
    "写道", "のメール", "書きました", "님이 작성",
  ]

  /// How many lines an attribution at the front of these has; nil: there is none.
  static func attributionLines(_ lines: ArraySlice<Substring>) -> Int? {
    guard let first = lines.first, !isBlank(first), first.utf8.count <= lineBytesMax else { return nil }
    var text = words(first)
    let isLikely = startsAttribution(text)
    for (offset, line) in lines.enumerated() {
      // Nobody breaks an attribution by an empty line.
      if isBlank(line) { return nil }
      if offset > 0 { text += " " + words(line) }
      guard text.utf8.count <= attributionBytesMax else { return nil }
      if text.hasSuffix(":") || text.hasSuffix("："), isAttribution(text) { return offset + 1 }
      if !isLikely { return nil }
    }
    return nil
  }

  private static func startsAttribution(_ text: String) -> Bool {
    starts.contains { text.hasPrefix($0) } || startsWithNumber(text)
  }

  /// Lower case, with single spaces.
  private static func words(_ line: Substring) -> String { line.singleSpaced.lowercased() }

  /// A line with a day in it that ends in a verb, in an address, or, when its beginning is right, has a verb.
  private static func isAttribution(_ text: String) -> Bool {
    guard hasDay(text) else { return false }
    if text.hasSuffix(">:"), text.contains("@") { return true }
    var head = text.dropLast()
    while head.last == " " { head.removeLast() }
    if verbs.contains(where: { head.hasSuffix($0) }) { return true }
    return starts.contains { text.hasPrefix($0) } && verbs.contains { text.contains(" \($0) ") }
  }

  private static func startsWithNumber(_ text: String) -> Bool { text.first?.isNumber ?? false }

  /// A year of four digits, or three numbers as in `20.11.26`.
  private static func hasDay(_ text: String) -> Bool {
    var digits = 0
    var numbers = 0
    for byte in text.utf8 {
      if (48...57).contains(byte) {
        digits += 1
        if digits == 1 { numbers += 1 }
        if digits == 4 || numbers == 3 { return true }
      } else {
        let joins = byte == UInt8(ascii: ".") || byte == UInt8(ascii: "/") || byte == UInt8(ascii: "-")
        if !(joins && digits > 0) { numbers = 0 }
        digits = 0
      }
    }
    return false
  }

  // MARK: Separators

  private static let originals: Set<String> = [
    "original message", "original appointment", "ursprüngliche nachricht", "originalnachricht",
    "message d'origine", "message original", "message initial", "mensaje original", "messaggio originale",
    "mensagem original", "oorspronkelijk bericht", "originalmeddelande", "ursprungligt meddelande",
    "oprindelig meddelelse", "opprinnelig melding", "alkuperäinen viesti", "wiadomość oryginalna",
    "původní zpráva", "исходное сообщение", "reply message", "原始邮件", "元のメッセージ",
  ]
  private static let forwards: Set<String> = [
    "forwarded message", "weitergeleitete nachricht", "message transféré", "mensaje reenviado",
    "messaggio inoltrato", "mensagem encaminhada", "doorgestuurd bericht", "forwarded by", "转发邮件",
  ]
  private static let appleForwards = [
    "begin forwarded message:", "anfang der weitergeleiteten nachricht:", "début du message réexpédié :",
    "inicio del mensaje reenviado:", "inizio messaggio inoltrato:", "início da mensagem encaminhada:",
  ]

  /// `-----Original Message-----`
  static func isSeparator(_ line: Substring) -> Bool {
    title(line).map { originals.contains($0) } ?? false
  }

  /// `---------- Forwarded message ---------`
  static func isForward(_ line: Substring) -> Bool {
    if let title = title(line) { return forwards.contains { title.hasPrefix($0) } }
    guard line.utf8.count <= lineBytesMax, line.last == ":" else { return false }
    return appleForwards.contains(words(line))
  }

  /// What is between two or more hyphens on both sides.
  private static func title(_ line: Substring) -> String? {
    guard line.utf8.count <= lineBytesMax, line.hasPrefix("--") else { return nil }
    let text = line.drop { $0 == "-" || $0 == " " }
    let end = text.lastIndex { $0 != "-" && $0 != " " && $0 != "\u{a0}" }
    return end.map { text[...$0].lowercased() }
  }

  // MARK: The header that Outlook puts above a quotation

  private static let fields: [[String]] = [
    ["from", "von", "de", "da", "van", "från", "fra", "lähettäjä", "od", "от", "发件人", "差出人", "보낸 사람"],
    [
      "sent", "date", "gesendet", "datum", "envoyé", "enviado", "enviada", "enviado el", "enviada em",
      "inviato", "data", "verzonden", "skickat", "sendt", "lähetetty", "wysłano", "odesláno", "отправлено",
      "дата",
      "fecha", "发送时间", "送信日時", "日期",
    ],
    [
      "to", "an", "à", "para", "a", "aan", "till", "til", "vastaanottaja", "do", "komu", "кому", "收件人",
      "宛先", "received", "cc",
    ],
    [
      "subject", "betreff", "objet", "asunto", "assunto", "oggetto", "onderwerp", "ämne", "emne", "aihe",
      "temat", "předmět", "тема", "主题", "件名",
    ],
  ]

  /// Whether these lines begin with who sent the quoted mail and name its date and its subject or its
  /// recipients. A line of underscores may be above.
  static func isHeader(_ lines: ArraySlice<Substring>) -> Bool {
    var rest = lines
    if let first = rest.first, first.utf8.count >= 10, first.allSatisfy({ $0 == "_" || $0 == " " }) {
      rest = rest.dropFirst().drop(while: isBlank)
    }
    guard let first = rest.first, field(first) == 0 else { return false }
    let found = Set(rest.dropFirst().prefix(5).compactMap(field))
    return found.contains(1) && (found.contains(2) || found.contains(3))
      || found.contains(2) && found.contains(3)
  }

  /// Which field of a mail's header a line is: `From: ...`, `*Von:* ...`.
  private static func field(_ line: Substring) -> Int? {
    // Most lines have no colon of either width, and bytes are read sooner than characters.
    guard line.utf8.contains(where: { $0 == UInt8(ascii: ":") || $0 == 0xef }),
      let colon = line.prefix(24).firstIndex(where: { $0 == ":" || $0 == "：" })
    else { return nil }
    let name = line[..<colon].lowercased().trimmingMarks
    return fields.firstIndex { $0.contains(name) }
  }

  // MARK: Devices

  private static let devices = [
    "sent from my ", "sent from mail for ", "sent from outlook", "sent from yahoo mail", "sent from proton",
    "get outlook for ", "von meinem ", "gesendet von meinem ", "gesendet von mail", "gesendet mit der ",
    "envoyé de mon ", "envoyé depuis ", "enviado desde mi ", "enviado do meu ", "inviato da ",
    "verzonden vanaf mijn ", "verstuurd vanaf mijn ", "skickat från min ", "sendt fra min ",
    "holen sie sich outlook",
  ]

  /// `Sent from my iPhone`
  static func isDevice(_ line: Substring) -> Bool {
    guard line.utf8.count <= 120 else { return false }
    let text = words(line)
    return devices.contains { text.hasPrefix($0) }
  }

  private static func isBlank(_ line: Substring) -> Bool { line.unicodeScalars.allSatisfy(\.isSpace) }
}

extension String {
  /// Without the asterisks that stand for bold letters, and white space.
  fileprivate var trimmingMarks: String {
    func isMark(_ character: Character) -> Bool { character == "*" || character.isWhitespace }
    var rest = drop(while: isMark)
    while let last = rest.last, isMark(last) { rest.removeLast() }
    return String(rest)
  }
}
