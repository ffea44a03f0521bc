"""The Responses API, stateless, over chats."""
