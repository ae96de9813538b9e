import JSON

extension APIAnswer {
  /// The JSON as the store can hold it: without U+0000.
  var storable: JSONValue? { json.map { JSONReader.withoutNull($0) } }
}
