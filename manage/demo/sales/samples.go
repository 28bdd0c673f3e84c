package sales

// What the chain of shops sells, and where. Five parts make a quintet.

func sampleRegions() []Region {
	return []Region{
		{Slug: "alps", Name: "Alps"},
		{Slug: "baltic", Name: "Baltic"},
		{Slug: "danube", Name: "Danube"},
		{Slug: "highlands", Name: "Highlands"},
		{Slug: "lakes", Name: "Lakes"},
		{Slug: "north-sea", Name: "North Sea"},
		{Slug: "rhine", Name: "Rhine"},
		{Slug: "riviera", Name: "Riviera"},
	}
}

type product struct {
	name  string
	price Cents
	most  int // in one sale
}

func sampleProducts() []product {
	return []product{
		{"Violin strings, set", 38_00, 4},
		{"Viola strings, set", 52_00, 3},
		{"Cello strings, set", 124_00, 2},
		{"Rosin", 6_50, 12},
		{"Violin bow", 210_00, 1},
		{"Cello bow", 340_00, 1},
		{"Clarinet reeds, ten", 27_00, 8},
		{"Music stand", 24_50, 10},
		{"Metronome", 29_00, 3},
		{"Tuning fork", 11_00, 5},
		{"Practice mute", 8_00, 5},
		{"Trout Quintet, parts", 32_00, 6},
		{"Clarinet Quintet, parts", 28_00, 6},
		{"Student violin", 690_00, 2},
		{"Student cello", 1_450_00, 1},
	}
}
