// SocketIOWire
