/// A value that is never printed: text, logs and errors show `<secret>`. `exposed` is the one way out.
package struct Secret<Value: Sendable>: Sendable, CustomStringConvertible, CustomDebugStringConvertible,
  CustomReflectable
{
  package let exposed: Value

  package init(_ value: Value) {
    exposed = value
  }

  package var description: String { "<secret>" }
  package var debugDescription: String { "<secret>" }
  /// Without children, so that `dump` shows nothing either.
  package var customMirror: Mirror { Mirror(self, children: [:]) }
}
